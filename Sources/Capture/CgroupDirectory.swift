import Glibc
import Platform

/// Reads of cgroup directories. Every answer may be old when it arrives: callers look again when an event says so.
package enum CgroupDirectory {
    /// Nil when the directory is gone.
    package static func facts(_ path: String) -> CgroupFacts? {
        var info = stat()
        guard lstat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else { return nil }
        return CgroupFacts(
            id: UInt64(info.st_ino), owner: info.st_uid, writableByOthers: info.st_mode & 0o022 != 0,
            delegated: isSet("trusted.delegate", path) || isSet("user.delegate", path))
    }

    /// The id alone: the inode number (kernfs gives 64 bits, of which the upper half counts reuses).
    package static func id(_ path: String) -> UInt64? {
        var info = stat()
        return lstat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR ? UInt64(info.st_ino) : nil
    }

    /// Names and ids of the directories in one directory; the ids come with the names and cost nothing more.
    package static func children(_ path: String) -> [(name: String, id: UInt64)] {
        guard let stream = opendir(path) else { return [] }
        defer { closedir(stream) }
        var found: [(String, UInt64)] = []
        while let entry = readdir(stream) {
            guard entry.pointee.d_type == 4 /* DT_DIR */ else { continue }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { found.append((name, UInt64(entry.pointee.d_ino))) }
        }
        return found
    }

    private static func isSet(_ attribute: String, _ path: String) -> Bool {
        var value = [UInt8](repeating: 0, count: 8)
        guard let lgetxattr else { return false }
        return lgetxattr(path, attribute, &value, value.count) == 1 && value[0] == UInt8(ascii: "1")
    }

    private typealias GetAttribute = @convention(c) (UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafeMutableRawPointer?, Int) -> Int
    /// lgetxattr(2): the C library has it, Swift's Glibc module does not show it.
    private static let lgetxattr: GetAttribute? = dlsym(nil, "lgetxattr").map { unsafeBitCast($0, to: GetAttribute.self) }
}
