import Glibc
import Platform

/// Whether a cgroup's processes live in the agent's network namespace, where its rules are.
package enum NetworkNamespaceCheck {
    /// At most this many processes and directories are looked at.
    static let bound = 64

    /// The calling thread's namespace, as `net:[4026531840]`.
    package static func own() -> String? { link("/proc/thread-self/ns/net") }

    /// True when the cgroup and those below it have processes, and all that could be looked at live elsewhere. Empty cgroups are fine,
    /// and so are processes that may not be looked at (that needs CAP_SYS_PTRACE).
    package static func isElsewhere(_ directory: String, own: String) -> Bool {
        var elsewhere = 0
        var processes = 0
        var queue = [directory]
        var next = 0
        while next < queue.count, next < bound, processes < bound {
            let path = queue[next]
            next += 1
            for line in (TextFile.read(path + "/cgroup.procs") ?? "").split(separator: "\n") where processes < bound {
                guard line != "0", let namespace = link("/proc/\(line)/ns/net") else { continue }
                processes += 1
                if namespace == own { return false }
                elsewhere += 1
            }
            queue += CgroupDirectory.children(path).prefix(bound).map { "\(path)/\($0.name)" }
        }
        return elsewhere > 0
    }

    private static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 64)
        let count = readlink(path, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }
}
