import CLinux
import Glibc
import Platform

/// An inotify instance (inotify(7)): watches of directories and files, and their events. One thread.
package struct Inotify: ~Copyable {
    package let fd: OwnedFD

    package struct Mask: OptionSet, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let modified = Mask(rawValue: 0x2)
        package static let attributes = Mask(rawValue: 0x4)
        package static let created = Mask(rawValue: 0x100)
        package static let deleted = Mask(rawValue: 0x200)
        package static let overflow = Mask(rawValue: 0x4000)
        /// The watch is over: its directory is gone, or it was taken away.
        package static let ignored = Mask(rawValue: 0x8000)
        package static let onlyDirectories = Mask(rawValue: 0x0100_0000)
        package static let isDirectory = Mask(rawValue: 0x4000_0000)
    }

    package struct Event: Equatable, Sendable {
        /// -1 for an overflow.
        package let watch: CInt
        package let mask: Mask
        /// Empty when the event is about the watched object itself.
        package let name: String
    }

    package init() throws(Errno) {
        fd = OwnedFD(consuming: try systemCall { inotify_init1(CInt(IN_NONBLOCK) | CInt(IN_CLOEXEC)) })
    }

    /// Watching the same object twice gives the same number.
    package borrowing func add(_ path: String, _ mask: Mask) throws(Errno) -> CInt {
        let fd = fd.raw
        return try systemCall { inotify_add_watch(fd, path, mask.rawValue) }
    }

    /// A watch whose object is gone has ended by itself; ending it again does nothing.
    package borrowing func remove(_ watch: CInt) { _ = inotify_rm_watch(fd.raw, watch) }

    /// What has happened since the last call, at most `limit` bytes of it; empty when there is nothing more.
    package borrowing func read(limit: Int = 65536) -> [Event] {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = Glibc.read(fd.raw, &buffer, limit)
        guard count > 0 else { return [] }
        return Self.parse(buffer[..<count])
    }

    /// `struct inotify_event`: watch, mask, cookie and length of the name, four bytes each, then the name padded with zeros.
    static func parse(_ bytes: ArraySlice<UInt8>) -> [Event] {
        var events: [Event] = []
        var rest = bytes
        while rest.count >= 16 {
            func word(_ index: Int) -> UInt32 {
                let start = rest.startIndex + index * 4
                return rest[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
            }
            let length = Int(word(3))
            guard rest.count >= 16 + length else { break }
            let name = rest.dropFirst(16).prefix(length).prefix { $0 != 0 }
            events.append(Event(watch: CInt(bitPattern: word(0)), mask: Mask(rawValue: word(1)), name: String(decoding: name, as: UTF8.self)))
            rest = rest.dropFirst(16 + length)
        }
        return events
    }
}
