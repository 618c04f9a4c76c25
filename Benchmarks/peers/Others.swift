import Catalog
import Identity
import Membership
import MeshModel
import Plane
import Platform
import Reactor
import TLS

/// The streams of all peers to the agent.
///
/// One catalog answers on all of them: every node of a mesh that is at rest knows the same, and a thousand copies of it would need the memory that this
/// benchmark is there to spare. What the agent gets is what a thousand nodes would send it: each node's records under its own signature, a digest for each
/// stream, and as many digests later as a thousand nodes that each choose one of a thousand others send to one.
@Control
final class Others {
    private let peers: [Peer]
    private let agent: (name: String, address: SocketAddress)
    private let issuer: Issuer
    private let authority: RecordAuthority
    private var shared: CatalogCore
    private var streams: [String: PlaneStream] = [:]
    /// How far each peer has asked for the agent's own records.
    private var seen: [String: Position] = [:]
    private static let handshakes = 32
    private static let exchange = Duration.seconds(5)

    init(_ peers: [Peer], agent: (name: String, ip: IPAddress), _ issuer: Issuer) {
        self.peers = peers
        self.agent = (agent.name, SocketAddress(agent.ip, port: 15008))
        self.issuer = issuer
        // The agent's word is taken: whether it signs rightly is not what is measured.
        authority = RecordAuthority(sha256: { Digest.sha256($0) }, sign: { _ in nil }, verify: { _, _, _, _ in })
        shared = CatalogCore(node: "others", trustDomain: issuer.trustDomain, generation: 1, limits: CatalogLimits(), authority: authority)
        let now = MonotonicTime.now()
        for peer in peers {
            shared.connected(peer.name, now)
            shared.received(.delta(peer.records), from: peer.name, now)
            shared.disconnected(peer.name, now)
            shared.liveness(peer.name, .alive, now)
        }
        shared.effects = []
    }

    var connected: Int { streams.count }

    /// Opens a stream of each peer, and opens it again whenever it ends.
    func connect() async {
        ControlLoop.shared.every(.seconds(1)) { [weak self] in
            self?.shared.tick(.now())
            self?.perform()
        }
        ControlLoop.shared.every(Self.exchange) { [weak self] in
            self?.shared.exchange(.now(), random: .random(in: .min ... .max))
            self?.perform()
        }
        var next = 0
        for _ in 0..<Self.handshakes {
            Task { @Control in
                while next < peers.count {
                    next += 1
                    await self.open(peers[next - 1])
                }
            }
        }
        while streams.count < peers.count { await ControlLoop.shared.sleep(.milliseconds(20)) }
    }

    private func open(_ peer: Peer) async {
        guard let identity = SPIFFEID(trustDomain: issuer.trustDomain, node: agent.name) else { preconditionFailure("\(agent.name) is no name of a node") }
        while true {
            do throws(MeshError) {
                let stream = try await PlaneDialer.dial(
                    agent.address, serverName: SNI.name(for: identity) { Digest.sha256($0) }, alpn: [IdentityProtocol.plane], credential: peer.credential,
                    trust: issuer.trust, mark: 0)
                return attend(stream, peer)
            } catch {
                await ControlLoop.shared.sleep(.milliseconds(.random(in: 200...300)))
            }
        }
    }

    private func attend(_ stream: PlaneStream, _ peer: Peer) {
        for type in CatalogWire.FrameType.allCases {
            stream.handle(FrameType(rawValue: type.rawValue)) { [weak self] frame in self?.received(frame, peer, stream) }
        }
        stream.onClose = { [weak self] _ in
            guard let self else { return }
            streams[peer.name] = nil
            shared.disconnected(peer.name, .now())
            Task { @Control in await self.open(peer) }
        }
        stream.start()
        say(.hello(node: peer.name, versions: CatalogWire.versions, life: .random(in: 1 ... .max)), stream)
    }

    private func received(_ frame: Frame, _ peer: Peer, _ stream: PlaneStream) {
        guard let message = try? CatalogWire.decode(frame.type.rawValue, frame.payload, authority: authority) else {
            preconditionFailure("the agent sends what cannot be read")
        }
        switch message {
        case .hello:
            streams[peer.name] = stream
            shared.connected(peer.name, .now())
        case .overview(var overview):
            // The agent's own records: each peer asks for them, and they are no part of what peers compare.
            if overview.position > seen[peer.name] ?? .none {
                seen[peer.name] = overview.position
                say(.want([agent.name: .none]), stream)
            }
            overview.position = shared.knownPositions[peer.name] ?? .none
            shared.received(.overview(overview), from: peer.name, .now())
        case .delta(let deltas): shared.received(.delta(deltas.filter { $0.origin != agent.name }), from: peer.name, .now())
        default: shared.received(message, from: peer.name, .now())
        }
        perform()
    }

    private func perform() {
        let effects = shared.effects
        shared.effects = []
        for effect in effects {
            switch effect {
            case .send(.overview(var overview), let peer):
                overview.position = shared.knownPositions[peer] ?? .none
                if let stream = streams[peer] { say(.overview(overview), stream) }
            case .send(let message, let peer): if let stream = streams[peer] { say(message, stream) }
            case .broadcast(let message): for stream in streams.values { say(message, stream) }
            case .viewChanged, .viewImproved, .save, .saveGeneration, .disconnect, .event: break
            }
        }
    }

    private func say(_ message: CatalogMessage, _ stream: PlaneStream) {
        let (type, payload) = CatalogWire.encode(message)
        do throws(MeshError) { try stream.send(Frame(FrameType(rawValue: type.rawValue), payload)) } catch { stream.close(error.message) }
    }

    /// All but the agent are a pool, as one that came together long ago, and one of them joins it.
    /// - Returns: how many have heard of it.
    func join() async throws -> Int {
        for peer in peers { try peer.gossip.start() }
        let all = peers.map(\.gossip)
        for peer in peers { peer.gossip.adopt(all) }
        let seed = SocketAddress(agent.address.ip, port: 7946)
        while await peers[0].gossip.join([seed]).contacted == 0 { await ControlLoop.shared.sleep(.seconds(1)) }
        while peers.contains(where: { !$0.hasHeard(of: agent.name) }) { await ControlLoop.shared.sleep(.milliseconds(100)) }
        return peers.count { $0.hasHeard(of: agent.name) }
    }
}
