import Platform
import Testing

@testable import Traffic

@Suite("Pressure on a tunnel")
struct TunnelPressureTests {
    /// A tunnel of which `much` are ten bytes a window. Every letter is a window: much, half as much, little, none at all with a full core here; a dot is a pause.
    private struct Tunnel {
        var pressure = TunnelPressure()
        var now = MonotonicTime(nanoseconds: 77_000_000_000)
        var moved = 0

        init() { _ = turn("l") }

        mutating func turn(_ window: Character) -> Bool {
            now.nanoseconds += window == "." ? 4 * TunnelPressure.window : TunnelPressure.window
            moved += ["M": 10, "h": 5, "F": 10, ".": 40][window] ?? 4
            return pressure.turn(moved: moved, at: now, much: 100, busy: window == "F" ? TunnelPressure.full : TunnelPressure.full - 1)
        }
    }

    @Test(
        "it is crowded after half a second of much, until there was as long little; a full core of this end is no reason",
        arguments: [
            ("MMMM", false), ("MMMMM", true), ("MMMMl", false), ("MMMMlMM", true), ("MMhMMhM", true), ("hhhhhhhhh", false), ("lllllllll", false), ("FFFFFFFFF", false),
            ("MMMMMllll", true), ("MMMMMlllll", false), ("MMMMMlllllM", false), ("MMMMMhhhhhhh", true), ("MMMMMFFFFF", false), ("MMMMM.", false), ("MMMM.M", false),
            (".....", false),
        ])
    func windows(_ windows: String, crowded: Bool) {
        var tunnel = Tunnel()
        var last = false
        for window in windows { last = tunnel.turn(window) }
        #expect(tunnel.pressure.isCrowded(at: tunnel.now) == crowded)
        #expect(last == crowded)
    }

    @Test("what has been silent for a while is not crowded")
    func silent() {
        var tunnel = Tunnel()
        for window in "MMMMM" { _ = tunnel.turn(window) }
        tunnel.now.nanoseconds += 3 * TunnelPressure.window
        #expect(tunnel.pressure.isCrowded(at: tunnel.now))
        tunnel.now.nanoseconds += 1
        #expect(!tunnel.pressure.isCrowded(at: tunnel.now))
    }

    @Test("within a window it is not asked")
    func withinWindow() {
        var tunnel = Tunnel()
        for window in "MMMMM" { _ = tunnel.turn(window) }
        let before = tunnel.pressure
        tunnel.now.nanoseconds += TunnelPressure.window - 1
        let ended = tunnel.pressure.turn(moved: tunnel.moved + 1000, at: tunnel.now, much: 100, busy: 0)
        #expect(!ended)
        #expect(tunnel.pressure == before)
    }
}
