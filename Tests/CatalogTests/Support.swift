import MeshModel
import Platform

@testable import Catalog

/// A hash that is good enough to tell records apart, and a signature that says who made it.
enum Fake {
    static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var words: [UInt64] = [0xcbf2_9ce4_8422_2325, 0x9e37_79b9_7f4a_7c15, 0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53]
        for byte in bytes {
            for index in 0..<4 { words[index] = (words[index] ^ UInt64(byte) &+ UInt64(index)) &* 0x100_0000_01b3 }
        }
        return words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) } }
    }

    static func authority(_ name: String, canSign: Bool = true) -> RecordAuthority {
        RecordAuthority(
            sha256: sha256,
            sign: { canSign ? ([Array(name.utf8)], sha256(Array(name.utf8) + $0)) : nil },
            verify: { (bytes: [UInt8], signature: [UInt8], chain: [[UInt8]], origin: String) throws(SignatureFault) in
                guard let signer = chain.first, signature == sha256(signer + bytes) else { throw .invalid("made up") }
                guard signer == Array(origin.utf8) else { throw .otherSigner(String(decoding: signer, as: UTF8.self)) }
            })
    }
}

extension CatalogCore {
    static func test(_ name: String, generation: UInt64 = 1, limits: CatalogLimits = CatalogLimits()) -> CatalogCore {
        CatalogCore(node: name, trustDomain: "shop.example", generation: generation, limits: limits, authority: Fake.authority(name))
    }

    /// Takes the effects so far.
    mutating func drain() -> [CatalogEffect] {
        let effects = self.effects
        self.effects = []
        return effects
    }
    var events: [CatalogEvent] { effects.compactMap { effect -> CatalogEvent? in if case .event(let event) = effect { event } else { nil } } }
    var sent: [CatalogMessage] {
        effects.compactMap { effect -> CatalogMessage? in
            switch effect {
            case .send(let message, to: _), .broadcast(let message): message
            default: nil
            }
        }
    }
    var sentDeltas: [OriginDelta] { sent.flatMap { message -> [OriginDelta] in if case .delta(let deltas) = message { deltas } else { [] } } }

    mutating func putNode(_ address: String = "192.0.2.1:15008") throws {
        try put(.node(node), payload: JSON.encode(NodePayload(NodeInfo(name: node, tunnel: SocketAddress(address)!, version: "1"))))
    }
    mutating func putEndpoint(_ service: String, _ address: String, port: UInt16 = 80, version: String = "", health: Health = .healthy) throws {
        try put(.endpoint("\(service)/\(address)"), payload: Self.endpointPayload(service, address, port: port, version: version, health: health))
    }
    static func endpointPayload(_ service: String, _ address: String, port: UInt16 = 80, version: String = "", health: Health = .healthy) -> [UInt8] {
        let name = ServiceName(service)!
        let identity = SPIFFEID(trustDomain: "shop.example", namespace: name.namespace, account: name.name)!
        return JSON.encode(
            EndpointPayload(
                Endpoint(service: name, address: SocketAddress(address)!, identity: identity, node: "?", version: version, health: health), port: port
            ))
    }
}

extension MonotonicTime {
    static func at(_ seconds: Double) -> MonotonicTime { MonotonicTime(nanoseconds: 1_000_000_000_000 + UInt64(seconds * 1e9)) }
}

/// A small generator for seeded runs (SplitMix64).
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}

/// Two cores with a perfect stream between them.
struct Pair {
    var a: CatalogCore
    var b: CatalogCore
    var now = MonotonicTime.at(0)

    init(_ a: CatalogCore = .test("a"), _ b: CatalogCore = .test("b")) {
        self.a = a
        self.b = b
    }

    mutating func connect() {
        a.connected(b.node, now)
        b.connected(a.node, now)
        settle()
    }

    /// Carries messages both ways until nobody has anything to say.
    mutating func settle() {
        for _ in 0..<100 {
            let fromA = messages(&a, to: b.node)
            let fromB = messages(&b, to: a.node)
            if fromA.isEmpty && fromB.isEmpty { return }
            for message in fromA { b.received(message, from: a.node, now) }
            for message in fromB { a.received(message, from: b.node, now) }
        }
        preconditionFailure("two cores never stop talking")
    }

    private func messages(_ core: inout CatalogCore, to peer: String) -> [CatalogMessage] {
        var messages: [CatalogMessage] = []
        var rest: [CatalogEffect] = []
        for effect in core.effects {
            switch effect {
            case .send(let message, to: let name) where name == peer: messages.append(message)
            case .broadcast(let message): messages.append(message)
            default: rest.append(effect)
            }
        }
        core.effects = rest
        return messages
    }
}
