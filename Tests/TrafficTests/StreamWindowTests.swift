import Testing

@testable import Traffic

@Suite("Windows of streams")
struct StreamWindowTests {
    private static let (ki, mi) = (1 << 10, 1 << 20)

    @Test(
        "a new stream gets a part of what is left, from 16 to 256 KiB",
        arguments: [
            (1024 * mi, 0, 256), (256 * mi, 0, 256), (256 * mi, 32 * mi, 256), (256 * mi, 32 * mi + 1, 128), (256 * mi, 64 * mi, 128), (256 * mi, 64 * mi + 1, 64),
            (256 * mi, 88 * mi, 32), (256 * mi, 89 * mi, 16), (256 * mi, 128 * mi, 16), (256 * mi, 300 * mi, 16), (mi, 0, 16), (0, 0, 16),
        ])
    func initial(memory: Int, charged: Int, kibibytes: Int) {
        #expect(StreamWindow.initial(memory: memory, charged: charged) == kibibytes * Self.ki)
    }

    @Test("and no more than the configuration says, rounded down to a power of two, but 16 KiB", arguments: [(64, 64), (100, 64), (16, 16), (8, 16), (4096, 4096)])
    func configured(most: Int, kibibytes: Int) {
        #expect(StreamWindow.initial(memory: 16 << 30, charged: 0, most: most * Self.ki) == kibibytes * Self.ki)
    }

    @Test("early streams do not lock out later ones", arguments: [(64, 2_800), (256, 11_000), (1024, 43_000)])
    func manyStreams(mebibytes: Int, atLeast: Int) {
        let limits = NamespaceLimits(memory: mebibytes * Self.mi)
        var (charged, count, above, last) = (0, 0, 0, Int.max)
        while true {
            let window = StreamWindow.initial(memory: limits.memory, charged: charged)
            guard limits.allows(window, beyond: charged) else { break }
            #expect(window <= last)
            last = window
            charged += window
            if window > StreamWindow.smallest { above += window }
            count += 1
        }
        #expect(above <= limits.memory / 8 * 3)
        #expect(count >= atLeast, "\(count) streams")
    }

    @Test(
        "a window grows by an eighth of what is left of three quarters of the memory, so that large ones stop first",
        arguments: [(2 * mi, 0, true), (2 * mi, 176 * mi, true), (2 * mi, 176 * mi + 1, false), (16 * ki, 190 * mi, true), (16 * ki, 192 * mi, false), (16 * ki, 256 * mi, false)])
    func growth(change: Int, charged: Int, allowed: Bool) {
        #expect(StreamWindow.mayGrow(by: change, memory: 256 * Self.mi, charged: charged) == allowed)
    }

    @Test(
        "a window doubles when two thirds of it were used in one round trip, up to 4 MiB",
        arguments: [
            (3 * ki, 0, 3 * ki), (3 * ki, 2 * ki - 1, 3 * ki), (3 * ki, 2 * ki, 6 * ki), (3 * ki, 9 * ki, 6 * ki), (2 * mi, 2 * mi, 4 * mi), (3 * mi, 3 * mi, 4 * mi),
            (4 * mi, 4 * mi, 4 * mi), (8 * mi, 8 * mi, 8 * mi),
        ])
    func grows(window: Int, consumed: Int, expected: Int) {
        #expect(StreamWindow.next(window, consumed: consumed) == expected)
    }
}
