import Identity
import MeshModel
import Platform
import Settings

@testable import Catalog

/// Real digests; signatures prove nothing, so nothing of another origin may ever be taken.
private let authority = RecordAuthority(
    sha256: { Hash.sha256($0) }, sign: { _ in ([[1]], [2]) },
    verify: { (_: [UInt8], _: [UInt8], _: [[UInt8]], _: String) throws(SignatureFault) in throw .invalid("nobody signed it") })

private func core() -> CatalogCore {
    var core = CatalogCore(node: "z", trustDomain: "shop.example", generation: 1, limits: CatalogLimits(), authority: authority)
    try? core.put(.node("z"), payload: NodeInfo(name: "z", tunnel: SocketAddress("192.0.2.9:15008")!, version: "1").recordPayload)
    core.commit(MonotonicTime(nanoseconds: 1_000_000_000))
    core.connected("m", MonotonicTime(nanoseconds: 1_000_000_000))
    core.effects = []
    return core
}

private let endpoint = Endpoint(
    service: ServiceName("reviews.default")!, address: SocketAddress("192.0.2.1:9080")!,
    identity: SPIFFEID(trustDomain: "shop.example", namespace: "default", account: "reviews")!, node: "a", version: "v1", health: .unhealthy)

extension FuzzTarget {
    /// A frame of the catalog: the first byte says of which type. What it says goes to a core, too, which may take none of it.
    static let catalogWire = FuzzTarget(
        name: "catalog-wire",
        seeds: {
            let own = core()
            let delta = OriginDelta(
                from: 1, head: SignedHead(origin: "a", position: Position(generation: 1, version: 2), root: RecordDigest([UInt8](repeating: 1, count: 32))!, chain: [[1]], signature: [2]),
                records: [
                    Record(key: .node("a"), version: 2, payload: Array(#"{"name":"a"}"#.utf8), digest: RecordDigest([UInt8](repeating: 3, count: 32))!),
                    Record(key: .endpoint("e"), version: 1, payload: nil, digest: RecordDigest([UInt8](repeating: 3, count: 32))!),
                ], tombstones: [Tombstone(key: .endpoint("gone"), version: 2)])
            let messages: [CatalogMessage] = [
                .hello(node: "a", versions: 1...3, life: 7), .digest(["a": Position(generation: 1, version: 2), "z": .none], parts: .all), .want(["z": .none]),
                .delta([delta]), .delta([]), .parts((0..<64).map { $0 &* 0x9e37_79b9_7f4a_7c15 }),
                .overview(CatalogOverview(position: Position(generation: 1, version: 2), others: 3, digest: 4, asks: true)),
            ]
            return messages.map { message in
                let (type, payload) = CatalogWire.encode(message)
                return [type.rawValue - 0x20] + payload
            } + [[summaryByte] + JSON.encode(SummaryFrame(own.summaries))]
        },
        run: { bytes in
            var input = Input(bytes)
            let type = input.byte() % 8
            if type == summaryByte { return summary(input.bytes) }
            guard let message = try? CatalogWire.decode(0x20 + type, input.bytes, authority: authority) else { return }
            let (sameType, payload) = CatalogWire.encode(message)
            require(sameType.rawValue == 0x20 + type, "a message of another type")
            require((try? CatalogWire.decode(sameType.rawValue, payload, authority: authority)) == message, "\(message) reads as another")
            var core = core()
            let before = core.knownPositions
            core.received(message, from: "m", MonotonicTime(nanoseconds: 2_000_000_000))
            core.tick(MonotonicTime(nanoseconds: 3_000_000_000))
            require(core.counters.deltasApplied == 0, "records that nobody signed were taken")
            require(core.knownPositions.filter { $0.key != "z" }.isEmpty && before.count == core.knownPositions.count, "an origin that nobody spoke for is known")
        })

    private static let summaryByte: UInt8 = 7

    private static func summary(_ bytes: [UInt8]) {
        guard let frame = try? JSON.decode(SummaryFrame.self, from: bytes), let summaries = try? frame.summaries(limit: 100) else { return }
        let again = try? JSON.decode(SummaryFrame.self, from: JSON.encode(SummaryFrame(summaries)))
        require((try? again?.summaries(limit: 100)) == summaries, "a summary reads as another")
    }

    /// A record's content, as its origin wrote it. First byte: its kind.
    static let catalogRecord = FuzzTarget(
        name: "catalog-record",
        seeds: {
            let node = NodeInfo(name: "a", tunnel: SocketAddress("192.0.2.1:15008")!, locality: Locality(region: "eu", zone: "1"), version: "1.2")
            return [[0] + node.recordPayload, [1] + endpoint.recordPayload(port: 80), [2] + Array("{}".utf8)]
        },
        run: { bytes in
            var input = Input(bytes)
            let kinds = [RecordKey.node("a"), .endpoint("reviews.default/192.0.2.1:9080"), RecordKey(kind: "later", name: "x")]
            let key = kinds[Int(input.byte()) % kinds.count]
            guard let content = try? read(key, input.bytes) else { return }
            switch content {
            case .node(let node): require((try? read(key, node.recordPayload)) == content, "\(node) reads as another")
            case .endpoint(let endpoint, let port): require((try? read(key, endpoint.recordPayload(port: port))) == content, "\(endpoint) reads as another")
            case .opaque: require(key.kind == "later", "a record of kind \(key.kind) was not understood and kept")
            }
        })

    private static func read(_ key: RecordKey, _ payload: [UInt8]) throws(Refusal) -> RecordContent {
        try RecordContent.read(key, payload, origin: "a", trustDomain: "shop.example", limits: CatalogLimits())
    }

    /// What an endpoint answers to an HTTP check, at once and in pieces. First byte: what is wanted; the second cuts.
    static let httpAnswer = FuzzTarget(
        name: "http-answer",
        seeds: {
            let answers = [
                "HTTP/1.1 200 OK\r\n\r\nready", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-ready: yes\r\n\r\nready",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-ready: yes\r\n\r\n3;a=b\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\n\r\n",
                "HTTP/1.1 204 No\r\nx-ready: no\r\n\r\n", "HTTP/1.0 200\n\n", "SSH-2.0-OpenSSH\r\n",
            ]
            return answers.flatMap { answer in (0..<4 as Range<UInt8>).map { [$0, 3] + Array(answer.utf8) } }
        },
        run: { bytes in
            var input = Input(bytes)
            let kind = input.byte()
            let cut = input.byte()
            var check = HTTPCheck(path: "/ready")
            if kind & 1 != 0 { check.body = "ready" }
            if kind & 2 != 0 { check.headers = ["x-ready": "yes"] }
            let whole = verdict(check, [input.bytes])
            require(whole == verdict(check, Array(Pieces(input.bytes, cut))), "in pieces the answer is judged otherwise than at once: \(whole)")
        })

    private static func verdict(_ check: HTTPCheck, _ pieces: [[UInt8]]) -> CheckVerdict {
        var answer = HTTPAnswer(check)
        for piece in pieces {
            let verdict = answer.received(piece)
            if verdict != .waiting { return verdict }
        }
        let verdict = answer.ended()
        require(verdict != .waiting, "an answer that ended is still waited for")
        return verdict
    }

    /// What an endpoint answers to a gRPC check. First byte: 0 and 1 are a whole HTTP/2 conversation (1 with the greeting), 2 the message alone.
    static let grpcCheck = FuzzTarget(
        name: "grpc-check",
        seeds: {
            let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
            let serving: [UInt8] = [0, 0, 0, 0, 2, 8, 1]
            let headers: [UInt8] = [0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88]
            let data: [UInt8] = [0, 0, 7, 0, 0, 0, 0, 0, 1] + serving
            let fields: [UInt8] = [0, 11] + Array("grpc-status".utf8) + [1, 48]
            let trailers: [UInt8] = [0, 0, UInt8(fields.count), 1, 5, 0, 0, 0, 1] + fields
            return [
                [2, 0] + serving, [2, 0, 0, 0, 0, 0, 4, 0x12, 1, 7, 8], [1, 5] + headers + data + trailers, [0, 5] + settings + headers + data + trailers, [1, 2] + headers + trailers,
            ]
        },
        run: { bytes in
            var input = Input(bytes)
            let kind = input.byte() % 3
            let cut = input.byte()
            var body = input.bytes
            if kind == 2 {
                _ = GRPCHealthMessage.status(body)
                return
            }
            if kind == 1 { body = [0, 0, 0, 4, 0, 0, 0, 0, 0] + body }
            let whole = grpcVerdict([body])
            let parts = grpcVerdict(Array(Pieces(body, cut)))
            require((whole == .passed) == (parts == .passed), "in pieces \(parts), at once \(whole)")
        })

    private static func grpcVerdict(_ pieces: [[UInt8]]) -> CheckVerdict {
        let conversation = GRPCConversation(service: "shop", address: SocketAddress("192.0.2.1:9080")!)
        _ = conversation.takeOutput()
        for piece in pieces {
            let verdict = piece.withUnsafeBytes { conversation.received($0, at: MonotonicTime(nanoseconds: 1_000_000_000)) }
            _ = conversation.takeOutput()
            if verdict != .waiting { return verdict }
        }
        return conversation.ended()
    }
}
