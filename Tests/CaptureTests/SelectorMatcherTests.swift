import MeshModel
import Testing

@testable import Capture

@Suite("Selectors")
struct SelectorMatcherTests {
    private func matcher(_ selectors: Workload.Selector..., allowDelegated: Bool = false) -> SelectorMatcher {
        SelectorMatcher(selectors.map { Workload(name: "w", namespace: "default", account: "w", selector: $0, allowDelegated: allowDelegated) })
    }
    private func path(_ text: String) -> [String] { text.split(separator: "/").map(String.init) }

    @Test(
        "match a directory by unit, slice or path",
        arguments: [
            (Workload.Selector.unit("reviews.service"), "/shop.slice/reviews.service", true),
            (.unit("reviews.service"), "/reviews.service", true),
            (.unit("reviews.service"), "/shop.slice/reviews.service/child", false),
            (.unit("reviews.service"), "/shop.slice/xreviews.service", false),
            (.unit("worker@*.service"), "/shop.slice/worker@7.service", true),
            (.unit("worker@*.service"), "/worker@a/b.service", false),
            (.unit("a\\x2db.service"), "/a\\x2db.service", true),
            (.unit("a\\x2d*.service"), "/a\\x2db.service", true),
            (.unit("cgroup.service"), "/_cgroup.service", true),
            (.slice("shop.slice"), "/shop.slice", true),
            (.slice("a-b.slice"), "/a.slice/a-b.slice", true),
            (.cgroup("/shop.slice/web-*"), "/shop.slice/web-1", true),
            (.cgroup("/shop.slice/web-*"), "/shop.slice/web-1/x", false),
            (.cgroup("/shop.slice/*"), "/other.slice/x", false),
            (.cgroup("/*/web"), "/a/web", true),
            (.cgroup("/*/web"), "/a/b/web", false),
            (.cgroup("/a[0-9]/?"), "/a5/x", true),
        ])
    func matching(selector: Workload.Selector, text: String, expected: Bool) {
        #expect((matcher(selector).workload(at: path(text)) != nil) == expected)
    }

    @Test("look into directories only where something could match")
    func looking() {
        let byName = matcher(.unit("a.service"))
        #expect(byName.looksInside([]))
        #expect(byName.looksInside(["system.slice"]))
        #expect(!byName.looksInside(["system.slice", "b.service"]))
        #expect(!byName.looksInside(["init.scope"]))
        #expect(matcher(.unit("a.service"), allowDelegated: true).looksInside(["user.slice", "user@1.service"]))

        let byPath = matcher(.cgroup("/shop.slice/web-*/app"))
        #expect(byPath.looksInside([]))
        #expect(byPath.looksInside(["shop.slice"]))
        #expect(byPath.looksInside(["shop.slice", "web-1"]))
        #expect(!byPath.looksInside(["shop.slice", "db"]))
        #expect(!byPath.looksInside(["shop.slice", "web-1", "app"]))
        #expect(!byPath.looksInside(["other.slice"]))
        #expect(!matcher().looksInside([]))
    }

    @Test("go one level deeper than the kernel rules can name, to refuse what is there, and no further")
    func depth() {
        let path = (1...9).map { "d\($0)" }
        #expect(matcher(.unit("a.service")).looksInside(Array(path.prefix(8))))
        #expect(!matcher(.unit("a.service")).looksInside(path))
    }

    @Test("give a directory to the workload declared first")
    func first() {
        #expect(matcher(.cgroup("/a/*"), .unit("b.service")).workload(at: ["a", "b.service"]) == 0)
    }
}

@Suite("Who owns a captured path")
struct CgroupOwnershipTests {
    private func facts(_ owner: UInt32 = 0, writable: Bool = false, delegated: Bool = false) -> CgroupFacts {
        CgroupFacts(id: 1, owner: owner, writableByOthers: writable, delegated: delegated)
    }

    @Test("a path all of root's is captured")
    func root() {
        #expect(CgroupOwnership.refusal([("shop.slice", facts()), ("web.service", facts())], allowDelegated: false) == nil)
    }

    @Test("a component of another user refuses it, wherever it is")
    func owned() {
        #expect(
            CgroupOwnership.refusal([("a.slice", facts(1000)), ("b.service", facts())], allowDelegated: false)
                == .owned(component: "a.slice", uid: 1000))
        #expect(
            CgroupOwnership.refusal([("a.slice", facts()), ("b.service", facts(7))], allowDelegated: false)
                == .owned(component: "b.service", uid: 7))
        #expect(CgroupOwnership.refusal([("a", facts(writable: true))], allowDelegated: false) == .writable(component: "a"))
    }

    @Test("what lies below a delegated unit is refused, the unit itself is not")
    func delegated() {
        #expect(CgroupOwnership.refusal([("docker.service", facts(delegated: true))], allowDelegated: false) == nil)
        #expect(
            CgroupOwnership.refusal([("docker.service", facts(delegated: true)), ("x", facts())], allowDelegated: false)
                == .delegated(component: "docker.service"))
        #expect(
            CgroupOwnership.refusal([("user.slice", facts()), ("user@1000.service", facts()), ("reviews.service", facts())], allowDelegated: false)
                == .delegated(component: "user@1000.service"))
    }

    @Test("allowDelegated accepts all of that, but no depth beyond the rules'")
    func allowed() {
        #expect(CgroupOwnership.refusal([("user@1.service", facts(1, writable: true)), ("x", facts())], allowDelegated: true) == nil)
        let deep = (1...9).map { ("d\($0)", facts()) }
        #expect(CgroupOwnership.refusal(deep, allowDelegated: true) == .tooDeep)
        #expect(CgroupOwnership.refusal(Array(deep.prefix(8)), allowDelegated: true) == nil)
    }
}
