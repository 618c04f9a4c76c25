import MeshModel
import Platform

@testable import Identity

extension FuzzTarget {
    /// What a stranger or a node sends to the authority, and what it answers. First byte: which of them.
    static let identity = FuzzTarget(
        name: "identity", seeds: { identitySeeds },
        run: { bytes in
            var input = Input(bytes)
            let kind = input.byte() % 7
            let body = input.bytes
            switch kind {
            case 0: survives(JoinRequest.self, body)
            case 1: survives(JoinReply.self, body)
            case 2: survives(SignRequest.self, body)
            case 3: survives(SignReply.self, body)
            case 4: survives(RecoverRequest.self, body)
            case 5:
                let text = String(decoding: body, as: UTF8.self)
                if let token = try? JoinToken(text) {
                    require((try? JoinToken(token.text)) == token, "a token reads as another")
                    require(!token.description.contains(Base64.encode(token.secret.bytes)) || token.secret.bytes.count < 4, "a secret in words for logs")
                }
                if let pattern = try? IdentityPattern(text, trustDomain: "shop.example") {
                    require((try? IdentityPattern(pattern.description, trustDomain: "shop.example")) == pattern, "a pattern reads as another")
                    _ = SPIFFEID(trustDomain: "shop.example", namespace: "default", account: "web").map(pattern.matches)
                }
            default:
                // What passes has one identity, and it is one that can be written.
                if let request = try? SigningRequest.verify(body) {
                    require(SPIFFEID(request.identity.description) == request.identity, "a request for an identity that cannot be written")
                }
            }
        })

    private static func survives<T: Codable>(_ type: T.Type, _ bytes: [UInt8]) {
        guard let value = try? Wire.decode(type, bytes) else { return }
        do {
            let written = try Wire.encode(value)
            require(try Wire.encode(Wire.decode(type, written)) == written, "a \(type) reads as another")
        } catch {
            fatalError("a \(type) that was read cannot be written and read again: \(error)")
        }
    }

    private static var identitySeeds: [[UInt8]] {
        func seed(_ kind: UInt8, _ value: some Encodable) -> [UInt8] { [kind] + ((try? StateJSON.encode(value)) ?? []) }
        let token = try? JoinToken(
            id: "t1", secret: [1, 2, 3, 4], trustDomain: "shop.example", fingerprint: [UInt8](repeating: 7, count: 32), authority: "a",
            addresses: [SocketAddress("192.0.2.1:15008")!], node: "b", expires: WallTime(seconds: 1_900_000_000),
            allow: [IdentityPattern("ns/default/sa/*", trustDomain: "shop.example")])
        let grant = JoinGrant(
            trustDomain: "shop.example", node: "b", certificate: Bytes([1]), bundle: [Bytes([2])], gossipKeys: [Bytes([3])], authority: "a",
            authorityAddresses: ["192.0.2.1:15008"], seeds: ["192.0.2.1:7946"], allow: [.any])
        let error = MeshError(.peer, code: "no", "it is no", remedy: "ask again")
        var seeds = [
            seed(1, JoinReply(grant: grant)), seed(1, JoinReply(error: error)), seed(2, SignRequest([[1, 2], [3]])), seed(3, SignReply(items: [], bundle: [[1]])),
            seed(3, SignReply(error: error)), seed(4, RecoverRequest(node: "b", request: [1])), [5] + Array("ns/default/sa/*".utf8),
            [5] + Array("spiffe://shop.example/ns/a*/sa/b".utf8),
        ]
        if let token { seeds += [seed(0, JoinRequest(token: token, request: [1, 2], replace: true, now: WallTime(seconds: 1))), [5] + Array(token.text.utf8)] }
        if let identity = SPIFFEID(trustDomain: "shop.example", node: "b"), let made = try? SigningRequest.make(identity, key: PrivateKey()) { seeds.append([6] + made) }
        return seeds
    }
}
