import Logging
import Membership
import MeshModel
import Platform
import Reactor
import SWIM

/// One member of the pool under test, with what it has heard.
@Control
final class Node {
    let name: String
    let address: SocketAddress
    let gossip: Gossip
    /// Members that it holds alive, itself included.
    private(set) var live: Set<String> = []
    private(set) var suspicions = 0
    private(set) var sightings = 0
    /// Healthy members that it declared dead itself, from a suspicion of its own that ran out.
    private(set) var declared: Set<String> = []
    private var links: Links?
    private(set) var isRunning = true
    var onEvent: ((Node, GossipEvent) -> Void)?

    static let logger = Logger(label: "pool") { _ in SwiftLogNoOpLogHandler() }

    init(_ number: Int, port: UInt16) throws {
        name = "n\(number)"
        address = SocketAddress(IPAddress(v4: 0x7f09_0000 + UInt32(number / 250) << 8 + UInt32(number % 250) + 1), port: port)
        var configuration = GossipConfiguration(name: name, bind: address)
        // 72 bytes with its keys, as memberlist's members have here.
        configuration.tags = ["v": String(repeating: "x", count: 64)]
        gossip = Gossip(configuration, logger: Self.logger)
        live = [name]
        gossip.onEvent = { [weak self] in self?.heard($0) }
        try gossip.start()
    }

    private func heard(_ event: GossipEvent) {
        switch event.kind {
        case .joined, .recovered: live.insert(event.member.name)
        case .suspected:
            suspicions += 1
            if case .refused = event.cause { sightings += 1 }
        case .died:
            live.remove(event.member.name)
            if case .gossip = event.cause { break }
            declared.insert(event.member.name)
        case .left, .forgotten: live.remove(event.member.name)
        case .updated, .confirmed, .contested: break
        }
        onEvent?(self, event)
    }

    /// What was heard before a measurement does not count.
    func forget() {
        (suspicions, sightings) = (0, 0)
        declared = []
    }

    func listen() throws {
        links = try Links(address.ip, port: address.port + 1) { [weak self] in self?.gossip.check($0) }
    }

    /// Keeps a connection to each of these, as the plane does to every member.
    func link(to others: some Sequence<Node>) throws {
        for other in others { try links?.connect(other.name, SocketAddress(other.address.ip, port: other.address.port + 1)) }
    }

    /// The process ends: its sockets close, nobody is told.
    func exit() {
        isRunning = false
        gossip.stop()
        links?.stop()
        links = nil
    }
}
