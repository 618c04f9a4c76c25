import MeshModel
import Testing

@Suite struct SetDigestTests {
    /// Tells inputs apart, and that is all it has to do here.
    private func mark(_ name: String, _ state: UInt8) -> SetDigest.Mark {
        SetDigest.Mark(name, state: Array(name.utf8) + [state]) { bytes in
            var hash: UInt64 = 0x9e37_79b9_7f4a_7c15
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0xff51_afd7_ed55_8ccd ^ hash >> 31 }
            return (0..<8).map { UInt8(truncatingIfNeeded: hash >> UInt64(56 - 8 * $0)) }
        }
    }

    @Test func theSameSetIsTheSameInAnyOrderAndAfterDetours() {
        let marks = (0..<300).map { mark("n\($0)", 1) }
        var (one, other) = (SetDigest(), SetDigest())
        for mark in marks { one.toggle(mark) }
        for mark in marks.reversed() { other.toggle(mark) }
        other.toggle(mark("gone", 1))
        #expect(one.whole != other.whole)
        other.toggle(mark("gone", 1))
        #expect(one == other && one.whole == other.whole)
    }

    @Test func aChangeShowsInItsPartAlone() {
        var one = SetDigest()
        for number in 0..<300 { one.toggle(mark("n\(number)", 1)) }
        var other = one
        other.toggle(mark("n7", 1))
        other.toggle(mark("n7", 2))
        #expect(one.differences(to: other.values) == [SetDigest.part(of: "n7")])
        #expect(one.whole != other.whole)
        #expect(one.differences(to: one.values) == [])
        #expect(one.differences(to: [1, 2]) == nil)
    }

    @Test func namesAreSpreadOverAllParts() {
        let parts = Set((0..<1_000).map { SetDigest.part(of: "host-\($0)") })
        #expect(parts.count == SetDigest.parts)
        // Nodes of two releases must agree on these.
        #expect(SetDigest.part(of: "a") == 13)
    }
}
