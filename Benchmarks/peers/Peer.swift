import Catalog
import Identity
import Logging
import Membership
import MeshModel
import Platform
import Reactor
import SWIM
import TLS

/// One node: its certificate, its own records, signed by it, and its gossip.
@Control
final class Peer {
    let name: String
    let credential: Credential
    let gossip: Gossip
    /// Who has come to the pool since it was made.
    private var newcomers: Set<String> = []
    /// Of its own records, whole, as it would send them to who has none.
    let records: [OriginDelta]

    init(_ number: Int, _ address: IPAddress, _ issuer: Issuer, endpoints: Int) throws {
        let digits = String(number)
        name = "n" + String(repeating: "0", count: 4 - digits.count) + digits
        let (credential, signer) = try issuer.identity(name)
        self.credential = credential
        var configuration = GossipConfiguration(name: name, bind: SocketAddress(address, port: 7946))
        configuration.keyring = issuer.keyring
        configuration.tags = ["weft": "bench"]
        gossip = Gossip(configuration, logger: Logger(label: "peers") { _ in SwiftLogNoOpLogHandler() })
        let authority = RecordAuthority(
            sha256: { Digest.sha256($0) }, sign: { bytes in (try? signer.sign(bytes)).map { ([signer.certificate], $0) } }, verify: { _, _, _, _ in })
        var core = CatalogCore(node: name, trustDomain: issuer.trustDomain, generation: 1, limits: CatalogLimits(), authority: authority)
        try core.put(.node(name), payload: NodeInfo(name: name, tunnel: SocketAddress(address, port: 15008), version: "bench").recordPayload)
        for index in 0..<endpoints {
            guard let service = ServiceName("s\((number + index) % 200)", namespace: "default"),
                let identity = SPIFFEID(trustDomain: issuer.trustDomain, namespace: "default", account: "app")
            else { preconditionFailure("a service of the benchmark has an impossible name") }
            let endpoint = Endpoint(
                service: service, address: SocketAddress(address, port: UInt16(10_000 + index)), identity: identity, node: name, version: "v1")
            try core.put(.endpoint("e\(index)"), payload: endpoint.recordPayload(port: 9080))
        }
        let now = MonotonicTime.now()
        core.commit(now)
        core.effects = []
        core.connected("asker", now)
        core.received(.want([name: .none]), from: "asker", now)
        records = core.effects.flatMap { effect -> [OriginDelta] in
            if case .send(.delta(let deltas), _) = effect { deltas } else { [] }
        }
        gossip.onEvent = { [weak self] event in if event.kind == .joined { self?.newcomers.insert(event.member.name) } }
    }

    func hasHeard(of member: String) -> Bool { newcomers.contains(member) }
}
