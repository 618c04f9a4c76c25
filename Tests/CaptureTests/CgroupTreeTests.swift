import CLinux
import Glibc
import MeshModel
import Platform
import Reactor
import Testing

@testable import Capture

extension KernelTests {
    /// Real cgroups in the host's hierarchy, below a directory of the test's own.
    @Suite("Following cgroups")
    struct CgroupTreeTests {
        private func workload(_ selector: Workload.Selector, allowDelegated: Bool = false) -> Workload {
            Workload(name: selector.description, namespace: "default", account: "a", selector: selector, allowDelegated: allowDelegated)
        }

        /// Waits until the tree says so; changes arrive by inotify.
        @Control
        private func eventually(_ tree: CgroupTree, _ condition: @Control (CgroupTree) -> Bool) async -> Bool {
            for _ in 0..<400 {
                if condition(tree) { return true }
                await ControlLoop.shared.sleep(.milliseconds(5))
            }
            return false
        }

        @Test("what is there is found, and what comes, goes and comes back is followed")
        @Control
        func follows() async throws {
            let cgroup = try TestCgroup()
            cgroup.make("/shop.slice")
            cgroup.make("/shop.slice/web.service")
            let tree = try CgroupTree(mount: cgroup.mount)
            defer { tree.stop() }
            var changes = 0
            tree.onChange = { changes += 1 }
            let name = cgroup.path.dropFirst()
            tree.setWorkloads([workload(.cgroup("/\(name)/shop.slice/*.service")), workload(.cgroup("/\(name)/late/x"))])
            let web = cgroup.path + "/shop.slice/web.service"
            #expect(tree.matched == [web: MatchedCgroup(path: web, id: cgroup.id("/shop.slice/web.service"), workload: 0, refusal: nil)])
            #expect(changes == 0)

            cgroup.make("/shop.slice/api.service")
            #expect(await eventually(tree) { $0.matched.count == 2 })
            #expect(changes == 1)

            let before = cgroup.id("/shop.slice/web.service")
            cgroup.remove("/shop.slice/web.service")
            cgroup.make("/shop.slice/web.service")
            #expect(await eventually(tree) { $0.matched[web].map { $0.id != before } ?? false })

            cgroup.remove("/shop.slice")
            #expect(await eventually(tree) { $0.matched.isEmpty })
            cgroup.make("/late")
            cgroup.make("/late/x")
            #expect(await eventually(tree) { $0.matched[cgroup.path + "/late/x"]?.workload == 1 })
        }

        @Test("a unit is found wherever its slice is, without looking into other units")
        @Control
        func units() async throws {
            let cgroup = try TestCgroup()
            let unit = "weft-\(getpid())-u.service"
            for path in ["/a.slice", "/a.slice/b.slice", "/a.slice/other.service", "/a.slice/other.service/\(unit)"] { cgroup.make(path) }
            let tree = try CgroupTree(mount: cgroup.mount)
            defer { tree.stop() }
            tree.setWorkloads([workload(.unit(unit))])
            #expect(tree.matched.isEmpty)
            cgroup.make("/a.slice/b.slice/\(unit)")
            #expect(await eventually(tree) { $0.matched.keys.elementsEqual([cgroup.path + "/a.slice/b.slice/\(unit)"]) })
        }

        @Test("a path that is somebody else's is refused with the reason, and again root's is captured")
        @Control
        func ownership() async throws {
            let cgroup = try TestCgroup()
            cgroup.make("/d")
            cgroup.make("/d/x")
            let tree = try CgroupTree(mount: cgroup.mount)
            defer { tree.stop() }
            let path = cgroup.path + "/d/x"
            tree.setWorkloads([workload(.cgroup(path))])
            #expect(tree.matched[path]?.refusal == nil)

            #expect(chown(cgroup.full("/d"), 1000, 0) == 0)
            #expect(await eventually(tree) { $0.matched[path]?.refusal == .owned(component: "d", uid: 1000) })
            #expect(chown(cgroup.full("/d"), 0, 0) == 0)
            #expect(await eventually(tree) { $0.matched[path]?.refusal == nil })

            let delegate = "import os, sys; os.setxattr(sys.argv[1], 'trusted.delegate', b'1')"
            #expect(try await Command.run(["/usr/bin/python3", "-IS", "-c", delegate, cgroup.full("/d")]).status == 0)
            #expect(await eventually(tree) { $0.matched[path]?.refusal == .delegated(component: "d") })
            tree.setWorkloads([workload(.cgroup(path), allowDelegated: true)])
            #expect(tree.matched[path]?.refusal == nil)
        }

        @Test("a cgroup whose processes live in another network namespace is refused, and an empty one is not")
        @Control
        func namespaces() async throws {
            let cgroup = try TestCgroup()
            cgroup.make("/x")
            let tree = try CgroupTree(mount: cgroup.mount)
            defer { tree.stop() }
            let path = cgroup.path + "/x"
            tree.setWorkloads([workload(.cgroup(path))])
            #expect(tree.matched[path]?.refusal == nil)
            let child = try Command.start(["sh", "-c", "echo $$ > \(cgroup.full("/x"))/cgroup.procs; exec unshare -n sleep 60"])
            #expect(await eventually(tree) { $0.matched[path]?.refusal == .otherNetworkNamespace })
            kill(child, SIGKILL)
            Command.reap(child)
            #expect(await eventually(tree) { $0.matched[path]?.refusal == nil })
        }

        @Test("refresh sees at once what has happened")
        @Control
        func refresh() throws {
            let cgroup = try TestCgroup()
            cgroup.make("/x")
            let tree = try CgroupTree(mount: cgroup.mount)
            defer { tree.stop() }
            let path = cgroup.path + "/x"
            tree.setWorkloads([workload(.cgroup(path))])
            for _ in 0..<20 {
                let before = tree.matched[path]?.id
                cgroup.remove("/x")
                cgroup.make("/x")
                tree.refresh(name: "x")
                #expect(tree.matched[path]?.id == cgroup.id("/x"))
                #expect(tree.matched[path]?.id != before)
            }
        }

        @Test("events that the kernel dropped are made up for by reading everything again")
        @Control
        func overflow() async throws {
            let cgroup = try TestCgroup()
            let tree = try CgroupTree(mount: cgroup.mount)
            defer { tree.stop() }
            tree.setWorkloads([workload(.cgroup(cgroup.path + "/*"))])
            let limit = Int((TextFile.read("/proc/sys/fs/inotify/max_queued_events") ?? "16384").prefix { $0.isNumber }) ?? 16384
            // The control thread, this one, does not read meanwhile.
            cgroup.make("/a")
            cgroup.make("/b")
            for index in 0...limit / 2 + 1 {
                chmod(cgroup.full("/a"), index % 2 == 0 ? 0o755 : 0o750)
                chmod(cgroup.full("/b"), index % 2 == 0 ? 0o755 : 0o750)
            }
            cgroup.make("/late")
            #expect(await eventually(tree) { $0.matched.count == 3 })
            #expect(tree.overflows > 0)
        }
    }
}

@Suite("inotify's records")
struct InotifyTests {
    @Test(
        "limits are named with the setting that raises them",
        arguments: [(ENOSPC, "fs.inotify.max_user_watches"), (EMFILE, "fs.inotify.max_user_instances")])
    func limits(code: CInt, setting: String) {
        let error = CgroupTree.problem("/x.slice", Errno(code))
        #expect(error.code == "watch_limit")
        #expect(error.remedy.contains(setting))
    }

    @Test("are taken apart; a cut one is left")
    func parse() {
        var bytes: [UInt8] = [3, 0, 0, 0, 0, 1, 0, 0x40, 0, 0, 0, 0, 8, 0, 0, 0] + Array("a.scope".utf8) + [0]
        bytes += [0xff, 0xff, 0xff, 0xff, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        bytes += [1, 0, 0, 0, 0, 1]
        let events = Inotify.parse(bytes[...])
        #expect(events == [
            .init(watch: 3, mask: [.created, .isDirectory], name: "a.scope"),
            .init(watch: -1, mask: .overflow, name: ""),
        ])
    }
}
