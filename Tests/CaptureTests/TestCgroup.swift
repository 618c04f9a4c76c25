import CLinux
import Glibc
import Synchronization

@testable import Capture

/// A cgroup directory of one test, with everything below it; gone with the object.
final class TestCgroup: Sendable {
    let mount: CgroupMount
    /// Below the mount, `/weft-test-12-3`.
    let path: String

    private static let count = Atomic<Int>(0)

    init() throws {
        mount = try CgroupMount.find()
        path = "/weft-test-\(getpid())-\(Self.count.add(1, ordering: .relaxed).newValue)"
        make("")
    }

    deinit { remove("") }

    func full(_ relative: String) -> String { mount.path + path + relative }

    func make(_ relative: String) {
        let directory = full(relative)
        guard mkdir(directory, 0o755) == 0 || errno == EEXIST else { fatalError("mkdir \(directory): \(errno)") }
    }

    /// Kills what runs in it and removes it, children first.
    func remove(_ relative: String) {
        let directory = full(relative)
        for child in CgroupDirectory.children(directory) { remove(relative + "/" + child.name) }
        for _ in 0..<200 {
            for pid in (TextFile.read(directory + "/cgroup.procs") ?? "").split(separator: "\n") { kill(pid_t(pid) ?? 0, SIGKILL) }
            if rmdir(directory) == 0 || errno == ENOENT { return }
            usleep(5000)
        }
    }

    func id(_ relative: String) -> UInt64 { CgroupDirectory.id(full(relative)) ?? 0 }
}
