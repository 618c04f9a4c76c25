import Testing

@testable import Proxy

@Suite("Ports of a client's address")
struct ClientPortsTests {
    @Test(
        "are outside of those that the kernel gives away: the first tries above, where servers are seldom, the others below",
        arguments: [
            // ephemeral range, where the first tries are, where the others are
            (32768...60999 as ClosedRange<UInt16>, 61000...65535 as ClosedRange<UInt16>, 1024...32767 as ClosedRange<UInt16>),
            (1024...60999, 61000...65535, 61000...65535),
            (500...65534, 65535...65535, 65535...65535),
            (2000...65535, 1024...1999, 1024...1999),
        ])
    func outside(_ ephemeral: ClosedRange<UInt16>, _ first: ClosedRange<UInt16>, _ others: ClosedRange<UInt16>) {
        var ports = ClientPorts(ephemeral: ephemeral, seed: 7)
        var seen: [Set<UInt16>] = [[], []]
        for _ in 0..<20_000 {
            for attempt in 0..<ClientPorts.tries {
                let isFirst = attempt < ClientPorts.triesAbove
                guard let port = ports.next(attempt: attempt), (isFirst ? first : others).contains(port) else {
                    Issue.record("attempt \(attempt) of \(ephemeral)")
                    return
                }
                seen[isFirst ? 0 : 1].insert(port)
            }
        }
        // Every port has its turn, the two ends included.
        for (seen, range) in [(seen[0], first), (seen[1], others)] { #expect(seen.count > range.count * 99 / 100 && seen.min() == range.first && seen.max() == range.last) }
    }

    @Test("are the kernel's choice where it gives all away, and after some tries there is none")
    func exhausted() {
        var all = ClientPorts(ephemeral: 1024...65535, seed: 7)
        #expect((0...ClientPorts.tries).map { all.next(attempt: $0) } == Array(repeating: 0, count: ClientPorts.tries) + [nil])
        var usual = ClientPorts(ephemeral: 32768...60999, seed: 7)
        #expect(usual.next(attempt: ClientPorts.tries) == nil)
    }

    @Test(
        "are read as the kernel writes them",
        arguments: [
            ("32768\t60999\n", 32768...60999 as ClosedRange<UInt16>), ("1024 65535", 1024...65535), ("5\t5\n", 5...5), ("60999\t32768\n", nil), ("", nil), ("1\t65536\n", nil), ("a b", nil),
        ])
    func text(_ text: String, _ range: ClosedRange<UInt16>?) { #expect(ClientPorts.range(text) == range) }
}
