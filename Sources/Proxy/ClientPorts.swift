/// Source ports for connections that carry a client's address to an application. Pure, but for its own sequence of random numbers.
///
/// The client itself may be connected to the same application from any port of its own, and two connections must not have both ends the same. So the
/// ports that kernels give to connections are left out: those of this host, whose range stands for the client's. The ports above them come first,
/// since servers are seldom there: a program that binds a port without SO_REUSEADDR finds it taken while a client's address uses it.
package struct ClientPorts {
    /// Tries among the ports above the range, and in all.
    static let triesAbove = 4
    static let tries = 16

    private let above: UInt16
    private let aboveCount: UInt64
    private let belowCount: UInt64
    private var state: UInt64

    /// Ports below belong to privileged services.
    private static let lowest: UInt16 = 1024

    /// - Parameter seed: not 0.
    init(ephemeral: ClosedRange<UInt16>, seed: UInt64) {
        above = ephemeral.upperBound
        aboveCount = UInt64(UInt16.max - ephemeral.upperBound)
        belowCount = UInt64(max(ephemeral.lowerBound, Self.lowest) - Self.lowest)
        state = seed
    }

    /// A port for the n-th attempt of one connection; nil when it has had its tries. 0, for which the kernel chooses, where no port is outside of the range.
    mutating func next(attempt: Int) -> UInt16? {
        guard attempt < Self.tries else { return nil }
        guard aboveCount + belowCount > 0 else { return 0 }
        let fromAbove = belowCount == 0 || (aboveCount > 0 && attempt < Self.triesAbove)
        let number = random()
        return fromAbove ? above + 1 + UInt16(number % aboveCount) : Self.lowest + UInt16(number % belowCount)
    }

    /// Marsaglia's xorshift64: it needs to be cheap and even, not hard to guess.
    private mutating func random() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    /// The contents of `/proc/sys/net/ipv4/ip_local_port_range`: the first and the last port.
    package static func range(_ text: String) -> ClosedRange<UInt16>? {
        let ports = text.split { $0 == "\t" || $0 == " " || $0 == "\n" }.map { UInt16($0) }
        guard ports.count == 2, let first = ports[0], let last = ports[1], first <= last else { return nil }
        return first...last
    }
}
