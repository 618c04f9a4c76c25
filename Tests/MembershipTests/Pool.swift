import Glibc
import Logging
import MeshModel
import Platform
import Reactor
import Synchronization

@testable import Membership
@testable import SWIM

/// The gossips of one test, stopped at its end whatever happens.
@Control
final class Pool {
    nonisolated static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Different for each call and, nearly always, each process.
    nonisolated static func port() -> UInt16 {
        let number = ports.withLock { last in
            last += 1
            return last
        }
        precondition(number < 48, "more pools than there are ports for a process")
        return UInt16(20_000 + (Int(getpid()) * 31 % 250) * 48 + number)
    }
    private nonisolated static let ports = Mutex(0)

    nonisolated let port: UInt16
    private var gossips: [Gossip] = []
    private var events: [String: [GossipEvent]] = [:]

    init(port: UInt16) { self.port = port }

    /// The body runs off the control loop: it may block, as tests with other processes do.
    nonisolated static func with(port: UInt16, _ body: @concurrent (Pool) async throws -> Void) async throws {
        let pool = await Pool(port: port)
        do {
            try await body(pool)
        } catch {
            await pool.stop()
            throw error
        }
        await pool.stop()
    }

    private func stop() { for gossip in gossips { gossip.stop() } }

    nonisolated func address(_ number: UInt8) -> SocketAddress { SocketAddress(IPAddress(v4: 0x7f00_0100 | UInt32(number)), port: port) }

    func start(
        _ name: String, _ number: UInt8, _ tags: Tags = [:], keys: [[UInt8]] = [], label: String = "",
        _ change: (inout GossipConfiguration) -> Void = { _ in }
    ) throws(MeshError) -> Gossip {
        var configuration = GossipConfiguration(name: name, bind: address(number))
        configuration.timers = .local
        configuration.tags = tags
        configuration.keyring = try Keyring(keys: keys)
        configuration.label = label
        change(&configuration)
        let gossip = Gossip(configuration, logger: Self.logger)
        gossip.onEvent = { [weak self] in self?.events[name, default: []].append($0) }
        try gossip.start()
        gossips.append(gossip)
        return gossip
    }

    func kinds(_ observer: String, about name: String) -> [MemberEvent.Kind] {
        (events[observer] ?? []).filter { $0.member.name == name }.map(\.kind)
    }
}

extension Gossip {
    var live: [String] { members().filter { $0.state == .alive }.map(\.name) }
    func state(_ name: String) -> Liveness? { members().first { $0.name == name }?.state }
    func useKey(_ key: [UInt8]) throws(MeshError) {
        var ring = keyring
        try ring.use(key)
        keyring = ring
    }
}

/// Looks again and again; what is expected of another process takes its time.
func eventually(within limit: Duration = .seconds(8), _ condition: () async -> Bool) async -> Bool {
    let start = MonotonicTime.now()
    while MonotonicTime.now() - start < limit {
        if await condition() { return true }
        await ControlLoop.shared.sleep(.milliseconds(20))
    }
    return false
}
