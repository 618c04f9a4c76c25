import MeshModel
import Testing

@testable import Capture

@Suite("The cgroup v2 mount")
struct CgroupMountTests {
    private let hybrid = """
        31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
        32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:5 - cgroup2 cgroup2 rw
        """

    @Test("is found beside version 1")
    func beside() throws {
        #expect(try CgroupMount.find(inMountInfo: hybrid).path == "/sys/fs/cgroup/unified")
    }

    @Test("is found at the usual place, elsewhere, and with escapes in its name")
    func places() throws {
        #expect(try CgroupMount.find(inMountInfo: "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 x rw").path == "/sys/fs/cgroup")
        #expect(try CgroupMount.find(inMountInfo: "1 2 0:3 / /mnt/a\\040b rw - cgroup2 x rw").path == "/mnt/a b")
        let both = "1 2 0:3 / /mnt/x rw - cgroup2 x rw\n1 2 0:3 / /sys/fs/cgroup rw - cgroup2 x rw"
        #expect(try CgroupMount.find(inMountInfo: both).path == "/sys/fs/cgroup")
    }

    @Test("is refused by name where only version 1 is mounted, or nothing")
    func missing() {
        let version1 = hybrid.split(separator: "\n").dropLast().joined(separator: "\n")
        let error = #expect(throws: MeshError.self) { try CgroupMount.find(inMountInfo: version1) }
        #expect(error?.description.contains("cgroup v1 only") == true)
        #expect(error?.remedy.contains("systemd.unified_cgroup_hierarchy=1") == true)
        #expect(#expect(throws: MeshError.self) { try CgroupMount.find(inMountInfo: "") }?.description.contains("no cgroup v2 hierarchy") == true)
    }

    @Test("of a part of the hierarchy does not count: levels would differ")
    func part() {
        let error = #expect(throws: MeshError.self) { try CgroupMount.find(inMountInfo: "1 2 0:3 /docker/x /sys/fs/cgroup rw - cgroup2 x rw") }
        #expect(error?.description.contains("only a part of the cgroup v2 hierarchy is mounted, at /sys/fs/cgroup") == true)
    }
}
