import Platform

/// The resolvers that names are forwarded to, and which of them answer. Pure: time comes in.
package struct Upstreams: Sendable {
    /// Silent ones are dead after this many failures in a row; those that refuse, at once.
    package static let failuresUntilDead = 2
    /// How long a dead one is asked last.
    package static let deadFor = Duration.seconds(10)
    /// Of one query, however many resolvers there are.
    package static let maximumAttempts = 3

    private struct State {
        var failures = 0
        var deadUntil: MonotonicTime?
    }
    package private(set) var addresses: [SocketAddress]
    private var states: [SocketAddress: State] = [:]

    /// - Parameter own: where this server listens; such an upstream is a circle and left out.
    package init(_ addresses: [SocketAddress], own: [SocketAddress] = []) {
        self.addresses = []
        replace(with: addresses, own: own)
    }

    /// Another list; what is known about those that stay is kept.
    package mutating func replace(with addresses: [SocketAddress], own: [SocketAddress]) {
        let kept = addresses.filter { !own.contains($0) }
        self.addresses = kept.enumerated().filter { kept.firstIndex(of: $0.element) == $0.offset }.map(\.element)
        states = states.filter { kept.contains($0.key) }
    }

    /// Whom to ask, in order, one for each attempt: the living in the configured order, then the dead. Empty when there are none at all.
    package func plan(_ now: MonotonicTime) -> [SocketAddress] {
        let dead = Set(addresses.filter { states[$0]?.deadUntil.map { $0 > now } ?? false })
        let order = addresses.filter { !dead.contains($0) } + addresses.filter { dead.contains($0) }
        guard !order.isEmpty else { return [] }
        // A lost packet is no reason to fail: the only resolver is asked again.
        let attempts = max(2, min(order.count, Self.maximumAttempts))
        return (0..<attempts).map { order[$0 % order.count] }
    }

    package mutating func answered(_ address: SocketAddress) {
        if states[address] != nil { states[address] = nil }
    }

    /// - Parameter refused: the kernel or the resolver's host said that nobody listens.
    package mutating func failed(_ address: SocketAddress, refused: Bool, _ now: MonotonicTime) {
        guard addresses.contains(address) else { return }
        var state = states[address] ?? State()
        state.failures += 1
        if refused || state.failures >= Self.failuresUntilDead { state.deadUntil = now + Self.deadFor }
        states[address] = state
    }

    package func isDead(_ address: SocketAddress, _ now: MonotonicTime) -> Bool { states[address]?.deadUntil.map { $0 > now } ?? false }
}
