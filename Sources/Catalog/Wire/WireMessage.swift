import FoundationEssentials
import Platform

/// The catalog's messages as bytes: JSON whose readers ignore fields that they do not know.
///
/// A record's content travels as a string within it, byte for byte, because its origin signed those bytes.
package enum CatalogWire {
    /// Versions of these messages that this agent speaks; both ends use the highest that they share.
    package static let versions = 1...1

    /// The type byte of a plane frame.
    package enum FrameType: UInt8, Sendable, CaseIterable {
        case hello = 0x20
        case digest = 0x21
        case want = 0x22
        case delta = 0x23
        case overview = 0x24
        case parts = 0x25
    }

    package static func encode(_ message: CatalogMessage) -> (type: FrameType, payload: [UInt8]) {
        switch message {
        case .hello(let node, let versions, let life):
            (.hello, JSON.encode(HelloFrame(node: node, minimum: versions.lowerBound, maximum: versions.upperBound, life: life)))
        case .overview(let overview):
            (
                .overview,
                JSON.encode(
                    OverviewFrame(position: PositionField(overview.position), others: overview.others, digest: overview.digest, asks: overview.asks))
            )
        case .parts(let parts): (.parts, JSON.encode(PartsFrame(parts: parts)))
        case .digest(let positions, let parts):
            (.digest, JSON.encode(DigestFrame(origins: positions.mapValues(PositionField.init), parts: parts.bits)))
        case .want(let positions): (.want, JSON.encode(WantFrame(origins: positions.mapValues(PositionField.init))))
        case .delta(let deltas): (.delta, JSON.encode(DeltaFrame(deltas: deltas.map(DeltaField.init))))
        }
    }

    /// - Parameter authority: for the digests of records, which do not travel unless the content is kept back.
    package static func decode(_ type: UInt8, _ payload: [UInt8], authority: RecordAuthority) throws(WireFault) -> CatalogMessage {
        guard let type = FrameType(rawValue: type) else { throw WireFault("frames of type \(type) are unknown") }
        do {
            switch type {
            case .hello:
                let frame = try JSON.decode(HelloFrame.self, from: payload)
                guard frame.minimum >= 1, frame.minimum <= frame.maximum else { throw WireFault("hello: not a range of versions") }
                return .hello(node: frame.node, versions: frame.minimum...frame.maximum, life: frame.life ?? 0)
            case .digest:
                let frame = try JSON.decode(DigestFrame.self, from: payload)
                return .digest(frame.origins.mapValues(\.position), parts: PartSet(bits: frame.parts))
            case .overview:
                let frame = try JSON.decode(OverviewFrame.self, from: payload)
                return .overview(CatalogOverview(position: frame.position.position, others: frame.others, digest: frame.digest, asks: frame.asks))
            case .parts: return .parts(try JSON.decode(PartsFrame.self, from: payload).parts)
            case .want: return .want(try JSON.decode(WantFrame.self, from: payload).origins.mapValues(\.position))
            case .delta:
                let frame = try JSON.decode(DeltaFrame.self, from: payload)
                var deltas: [OriginDelta] = []
                for field in frame.deltas { deltas.append(try field.delta(authority)) }
                return .delta(deltas)
            }
        } catch let fault as WireFault {
            throw fault
        } catch {
            throw WireFault("\(type): \(error)")
        }
    }
}

/// Why a frame cannot be read.
package struct WireFault: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

// MARK: Frames

struct HelloFrame: Codable {
    var node: String
    var minimum: Int
    var maximum: Int
    var life: UInt64?
}

struct DigestFrame: Codable {
    var origins: [String: PositionField]
    /// One bit for each part.
    var parts: UInt64
}

struct OverviewFrame: Codable {
    var position: PositionField
    var others: Int
    var digest: UInt64
    var asks: Bool
}

struct PartsFrame: Codable {
    var parts: [UInt64]
}

struct WantFrame: Codable {
    var origins: [String: PositionField]
}

struct DeltaFrame: Codable {
    var deltas: [DeltaField]
}

/// `[generation, version]`; later versions may add to it.
struct PositionField: Codable {
    var position: Position

    init(_ position: Position) { self.position = position }
    init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        position = Position(generation: try list.decode(UInt64.self), version: try list.decode(UInt64.self))
    }
    func encode(to encoder: any Encoder) throws {
        var list = encoder.unkeyedContainer()
        try list.encode(position.generation)
        try list.encode(position.version)
    }
}

struct DeltaField: Codable {
    var origin: String
    var generation: UInt64
    var version: UInt64
    var from: UInt64?
    var records: [RecordField]
    /// Base64 of DER, leaf first.
    var chain: [String]
    /// Base64.
    var signature: String
    /// Base64 of 32 bytes.
    var root: String

    init(_ delta: OriginDelta) {
        origin = delta.origin
        generation = delta.position.generation
        version = delta.position.version
        from = delta.from
        records =
            delta.records.map { record in
                RecordField(
                    key: record.key, version: record.version,
                    state: record.payload.map { .content(String(decoding: $0, as: UTF8.self)) } ?? .keptBack(digest: Self.base64(record.digest.bytes)))
            }
            + delta.tombstones.map { RecordField(key: $0.key, version: $0.version, state: .deleted) }
        chain = delta.head.chain.map(Self.base64)
        signature = Self.base64(delta.head.signature)
        root = Self.base64(delta.head.root.bytes)
    }

    func delta(_ authority: RecordAuthority) throws(WireFault) -> OriginDelta {
        guard let root = RecordDigest(try bytes(root, "root")) else { throw WireFault("delta of \(origin.prefix(64)): the root is not 32 bytes") }
        var chain: [[UInt8]] = []
        for certificate in self.chain { chain.append(try bytes(certificate, "chain")) }
        guard chain.count <= 8 else { throw WireFault("delta of \(origin.prefix(64)): \(chain.count) certificates") }
        var records: [Record] = []
        var tombstones: [Tombstone] = []
        for field in self.records {
            switch field.state {
            case .deleted: tombstones.append(Tombstone(key: field.key, version: field.version))
            case .content(let text):
                let payload = Array(text.utf8)
                records.append(
                    Record(
                        key: field.key, version: field.version, payload: payload,
                        digest: authority.digest(key: field.key, version: field.version, payload: payload)))
            case .keptBack(let digest):
                guard let digest = RecordDigest(try bytes(digest, "digest")) else {
                    throw WireFault("delta of \(origin.prefix(64)): a digest is not 32 bytes")
                }
                records.append(Record(key: field.key, version: field.version, payload: nil, digest: digest))
            }
        }
        let head = SignedHead(
            origin: origin, position: Position(generation: generation, version: version), root: root, chain: chain,
            signature: try bytes(signature, "signature"))
        return OriginDelta(from: from, head: head, records: records, tombstones: tombstones)
    }

    private func bytes(_ text: String, _ field: String) throws(WireFault) -> [UInt8] {
        guard let data = Data(base64Encoded: text) else { throw WireFault("delta of \(origin.prefix(64)): \(field) is not base64") }
        return Array(data)
    }
    private static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
}
