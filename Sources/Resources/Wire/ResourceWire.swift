import Identity
import MeshModel
import Plane

extension FrameType {
    /// 0x40–0x4f belong to Resources.
    package static let resourceSummary = FrameType(rawValue: 0x40)
    package static let resourceParts = FrameType(rawValue: 0x41)
    package static let resourceHave = FrameType(rawValue: 0x42)
    package static let resourceWant = FrameType(rawValue: 0x43)
    package static let resourceWrites = FrameType(rawValue: 0x44)
    package static let resourceGone = FrameType(rawValue: 0x45)
    /// Asks what the peer makes of some versions; see `RolloutQuestion`.
    package static let resourceRollout = FrameType(rawValue: 0x48)
}

/// The messages as bytes: JSON whose readers ignore fields that they do not know.
package enum ResourceWire {
    package static let frames: [FrameType] = [.resourceSummary, .resourceParts, .resourceHave, .resourceWant, .resourceWrites, .resourceGone]

    package static func encode(_ message: ResourceMessage) -> Frame {
        switch message {
        case .summary(let digest, let isSettled): frame(.resourceSummary, SummaryFrame(digest: digest, settled: isSettled))
        case .parts(let values, let isSettled): frame(.resourceParts, PartsFrame(parts: values, settled: isSettled))
        case .have(let list, let parts): frame(.resourceHave, HaveFrame(resources: list.map(KnownField.init), parts: parts))
        case .want(let keys): frame(.resourceWant, WantFrame(keys: keys.map(KeyField.init)))
        case .writes(let writes): frame(.resourceWrites, WritesFrame(writes: writes.map(WriteField.init)))
        case .gone(let list): frame(.resourceGone, HaveFrame(resources: list.map(KnownField.init), parts: nil))
        }
    }

    /// - Throws: a sentence on what cannot be read. Single writings that cannot be are left out: they may be of a newer version.
    package static func decode(_ frame: Frame) throws(ResourceRefusal) -> ResourceMessage {
        do {
            switch frame.type {
            case .resourceSummary:
                let content = try StateJSON.decode(SummaryFrame.self, from: frame.payload)
                return .summary(digest: content.digest, isSettled: content.settled)
            case .resourceParts:
                let content = try StateJSON.decode(PartsFrame.self, from: frame.payload)
                return .parts(content.parts, isSettled: content.settled)
            case .resourceHave:
                let content = try StateJSON.decode(HaveFrame.self, from: frame.payload)
                return .have(content.resources.compactMap(\.known), parts: content.parts)
            case .resourceWant: return .want(try StateJSON.decode(WantFrame.self, from: frame.payload).keys.compactMap(\.key))
            case .resourceWrites: return .writes(try StateJSON.decode(WritesFrame.self, from: frame.payload).writes.compactMap(\.write))
            case .resourceGone: return .gone(try StateJSON.decode(HaveFrame.self, from: frame.payload).resources.compactMap(\.known))
            default: throw ResourceRefusal.malformed("frames of type \(frame.type) are unknown")
            }
        } catch let refusal as ResourceRefusal {
            throw refusal
        } catch {
            throw .malformed("a frame of type \(frame.type) cannot be read: \(error)")
        }
    }

    private static func frame(_ type: FrameType, _ content: some Encodable) -> Frame {
        // Strings, numbers and base64: nothing that JSON could refuse.
        guard let bytes = try? StateJSON.encode(content) else { preconditionFailure("cannot encode \(content)") }
        return Frame(type, bytes)
    }
}

// MARK: Frames

private struct SummaryFrame: Codable {
    var digest: UInt64
    var settled: Bool
}

private struct PartsFrame: Codable {
    var parts: [UInt64]
    var settled: Bool
}

private struct HaveFrame: Codable {
    var resources: [KnownField]
    var parts: [Int]?
}

private struct WantFrame: Codable {
    var keys: [KeyField]
}

private struct WritesFrame: Codable {
    var writes: [WriteField]
}

struct KeyField: Codable {
    var kind: String
    var group: String
    var namespace: String
    var name: String

    init(_ key: ResourceKey) {
        kind = key.kind
        group = key.group
        namespace = key.namespace
        name = key.name
    }
    var key: ResourceKey? { ResourceKey(kind: kind, group: group, namespace: namespace, name: name) }
}

struct KnownField: Codable {
    var key: KeyField
    var version: String

    init(_ known: KnownResource) {
        key = KeyField(known.key)
        version = known.version.description
    }
    var known: KnownResource? {
        guard let key = key.key, let version = ResourceVersion(version) else { return nil }
        return KnownResource(key: key, version: version)
    }
}

/// One writing, on the wire and on disk.
package struct WriteField: Codable {
    var key: KeyField
    var version: String
    /// The document as text; nil when it was deleted.
    var document: String?
    var replaces: String?
    var certificate: Bytes
    var signature: Bytes

    package init(_ write: ResourceWrite) {
        key = KeyField(write.key)
        version = write.version.description
        document = write.payload.map { String(decoding: $0, as: UTF8.self) }
        replaces = write.replaces?.description
        certificate = Bytes(write.certificate)
        signature = Bytes(write.signature)
    }

    /// Nil when a name or version is none.
    package var write: ResourceWrite? {
        guard let key = key.key, let version = ResourceVersion(version) else { return nil }
        var replaced: ResourceVersion?
        if let replaces {
            guard let version = ResourceVersion(replaces) else { return nil }
            replaced = version
        }
        return ResourceWrite(
            key: key, version: version, payload: document.map { Array($0.utf8) }, replaces: replaced, certificate: certificate.bytes,
            signature: signature.bytes)
    }
}
