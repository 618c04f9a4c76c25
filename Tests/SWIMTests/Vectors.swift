import FoundationEssentials
import Testing

@testable import Membership
@testable import SWIM

/// One captured datagram or stream direction, with what an independent decoder made of it.
struct Vector: Decodable, CustomTestStringConvertible, Sendable {
    var name: String
    var transport: String
    var direction: String
    var keys_b64: [String]
    var label: String
    var hex: String
    var decode: JSON
    var file = ""

    enum CodingKeys: CodingKey { case name, transport, direction, keys_b64, label, hex, decode }

    var testDescription: String { file }
    var bytes: [UInt8] { Self.bytes(hex: hex) }
    var isDatagram: Bool { transport == "udp" }
    /// Only the side that dialled sends a label.
    var isDialled: Bool { !file.contains("reply") && !file.contains("ack-sent") }

    var cipher: (any PacketCipher)? {
        get throws {
            let keys = keys_b64.compactMap { Data(base64Encoded: $0).map(Array.init) }
            // Captures taken with a key hold a few clear-text packets too; their decode has no "encryption".
            guard !keys.isEmpty, decode["encryption"] != nil else { return nil }
            return AESGCM(try Keyring(keys: keys))
        }
    }
    var codec: PacketCodec { get throws { PacketCodec(label: Array(label.utf8), cipher: try cipher) } }

    static func bytes(hex: String) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = hex[...]
        while let byte = UInt8(rest.prefix(2), radix: 16) {
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    static let all: [Vector] = {
        let folder = #filePath.replacing("Vectors.swift", with: "Vectors")
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return files.filter { $0.hasSuffix(".json") }.sorted().compactMap { file in
            guard let data = FileManager.default.contents(atPath: folder + "/" + file) else { return nil }
            guard var vector = try? JSONDecoder().decode(Vector.self, from: data) else { return nil }
            vector.file = String(file.dropLast(5))
            return vector
        }
    }()
    static let datagrams = all.filter(\.isDatagram)
    static let streams = all.filter { !$0.isDatagram }
    static func named(_ file: String) -> Vector { all.first { $0.file == file }! }
}

/// JSON as a value, for the decoded trees.
enum JSON: Decodable, Hashable, Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([JSON])
    case map([String: JSON])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([JSON].self) {
            self = .list(value)
        } else {
            self = .map(try container.decode([String: JSON].self))
        }
    }

    subscript(key: String) -> JSON? {
        guard case .map(let map) = self else { return nil }
        return map[key]
    }
    var text: String? {
        guard case .text(let text) = self else { return nil }
        return text
    }
    var number: Int? {
        guard case .number(let number) = self else { return nil }
        return Int(number)
    }
    var list: [JSON] {
        guard case .list(let list) = self else { return [] }
        return list
    }
}
