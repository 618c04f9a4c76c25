import Plane
import Platform
import Resources
import Testing

@Suite("Resources on the wire")
struct WireTests {
    private static let version = ResourceVersion(time: HybridTime(milliseconds: 1_800_000_000_123, counter: 65_535), author: "node-1.a_b")
    private static let known = KnownResource(key: key("reviews"), version: version)

    @Test(arguments: [
        .summary(digest: .max, isSettled: true), .parts([0, .max, 1], isSettled: false), .have([known], parts: [0, 63]), .have([], parts: nil),
        .want([key("a"), key("b", in: "")]), .gone([known]),
        .writes([
            ResourceWrite(key: key("a"), version: version, payload: Array("ü\n\"".utf8), replaces: version, certificate: [0, 255], signature: [1]),
            ResourceWrite(key: key("b", in: ""), version: version, payload: nil, replaces: nil, certificate: [], signature: []),
        ]),
    ] as [ResourceMessage])
    func `comes out as it went in`(_ message: ResourceMessage) throws {
        let frame = ResourceWire.encode(message)
        #expect(ResourceWire.frames.contains(frame.type))
        #expect(try ResourceWire.decode(frame) == message)
    }

    @Test func `fields of newer versions are passed over, and names that this one can't hold left out`() throws {
        let text = #"{"keys":[{"kind":"K","group":"g.io","namespace":"","name":"x","colour":1},{"kind":"K/","group":"","namespace":"","name":"x"}],"new":[]}"#
        let message = try ResourceWire.decode(Frame(.resourceWant, Array(text.utf8)))
        #expect(message == .want([try #require(ResourceKey(kind: "K", group: "g.io", namespace: "", name: "x"))]))
    }

    @Test(arguments: ["", "{}", "[]", #"{"digest":-1,"settled":true}"#, #"{"digest":1}"#])
    func `nonsense is refused with a reason`(_ text: String) {
        #expect(throws: ResourceRefusal.self) { try ResourceWire.decode(Frame(.resourceSummary, Array(text.utf8))) }
    }

    @Test(arguments: ["", "1", "1-1", "-1-1-a", "281474976710656-0-a", "1-65536-a", "1-1-", "1-1-a b", "x-1-a"])
    func `a version that is none`(_ text: String) { #expect(ResourceVersion(text) == nil) }

    @Test func `a version is read back, whatever the author's name`() {
        #expect(ResourceVersion(Self.version.description) == Self.version)
        #expect(ResourceVersion("1-2-a-b-c")?.author == "a-b-c")
    }
}
