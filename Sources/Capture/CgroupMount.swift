import CLinux
import Glibc
import MeshModel
import Platform

/// Where cgroup v2 is mounted.
package struct CgroupMount: Equatable, Sendable {
    package let path: String

    package init(path: String) { self.path = path }

    /// The mount of this process, from `/proc/self/mountinfo`.
    package static func find() throws(MeshError) -> CgroupMount {
        guard let text = TextFile.read("/proc/self/mountinfo") else {
            throw MeshError(
                .kernel, code: "cgroup_v2_missing", "/proc/self/mountinfo cannot be read: \(Errno.current)", remedy: "mount /proc for the agent")
        }
        return try find(inMountInfo: text)
    }

    /// Pure. `/sys/fs/cgroup` is preferred, then `/sys/fs/cgroup/unified`, then any whose root is the whole hierarchy (proc_pid_mountinfo(5)).
    package static func find(inMountInfo text: String) throws(MeshError) -> CgroupMount {
        var found: [String] = []
        var onlyVersion1 = false
        var parts: [String] = []
        for line in text.split(separator: "\n") {
            let halves = line.split(separator: " ")
            guard let dash = halves.firstIndex(of: "-"), dash >= 6, dash + 1 < halves.count else { continue }
            if halves[dash + 1] == "cgroup" { onlyVersion1 = true }
            guard halves[dash + 1] == "cgroup2" else { continue }
            // A mount of a part of the hierarchy would count levels differently from the kernel.
            if halves[3] == "/" { found.append(unescaped(halves[4])) } else { parts.append(unescaped(halves[4])) }
        }
        for wanted in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] where found.contains(wanted) { return CgroupMount(path: wanted) }
        if let first = found.first { return CgroupMount(path: first) }
        if let part = parts.first {
            throw MeshError(
                .kernel, code: "cgroup_v2_missing", "only a part of the cgroup v2 hierarchy is mounted, at \(part), and capture needs all of it",
                remedy: "run the agent in the host's mount namespace, or in a cgroup namespace of its own")
        }
        let reason = onlyVersion1 ? "this host has cgroup v1 only" : "no cgroup v2 hierarchy is mounted"
        throw MeshError(
            .kernel, code: "cgroup_v2_missing", "\(reason), and capture needs cgroup v2",
            remedy: "boot with systemd.unified_cgroup_hierarchy=1, or mount it: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
    }

    /// Spaces and backslashes are written as three octal digits.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// Small text files of /proc and /sys.
package enum TextFile {
    /// The whole file, or nil with `errno` set. At most 4 MiB.
    package static func read(_ path: String) -> String? {
        guard let raw = try? systemCall({ clinux_open(path, O_RDONLY | O_CLOEXEC, 0) }) else { return nil }
        let file = OwnedFD(consuming: raw)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16384)
        while bytes.count < 4 << 20 {
            let count = Glibc.read(file.raw, &chunk, chunk.count)
            if count < 0 { return nil }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    package static func write(_ path: String, _ text: String) throws(Errno) {
        let file = OwnedFD(consuming: try systemCall { clinux_open(path, O_WRONLY | O_CLOEXEC, 0) })
        let bytes = Array(text.utf8)
        guard Glibc.write(file.raw, bytes, bytes.count) == bytes.count else { throw Errno.current }
    }
}
