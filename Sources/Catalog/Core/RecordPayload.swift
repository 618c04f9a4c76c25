import FoundationEssentials
import MeshModel
import Platform

/// The content of a `node` record as it is written. Readers ignore fields that they do not know.
struct NodePayload: Codable, Sendable {
    var name: String
    /// `address:port` where its tunnels and its plane end.
    var tunnel: String
    var region: String?
    var zone: String?
    var agent: String?

    init(_ info: NodeInfo) {
        name = info.name
        tunnel = info.tunnel.description
        region = info.locality.region.isEmpty ? nil : info.locality.region
        zone = info.locality.zone.isEmpty ? nil : info.locality.zone
        agent = info.version.isEmpty ? nil : info.version
    }
}

/// The content of an `endpoint` record as it is written. Readers ignore fields that they do not know.
struct EndpointPayload: Codable, Sendable {
    /// `name.namespace`.
    var service: String
    /// The port that clients call.
    var port: UInt16
    /// `address:port` where the application listens.
    var address: String
    var identity: String
    var version: String?
    /// 1 unless given.
    var weight: UInt32?
    var region: String?
    var zone: String?
    var labels: [String: String]?
    /// `healthy` unless given; a value that a reader does not know counts as `unknown`.
    var health: String?

    init(_ endpoint: Endpoint, port: UInt16) {
        service = endpoint.service.description
        self.port = port
        address = endpoint.address.description
        identity = endpoint.identity.description
        version = endpoint.version.isEmpty ? nil : endpoint.version
        weight = endpoint.weight == 1 ? nil : endpoint.weight
        region = endpoint.locality.region.isEmpty ? nil : endpoint.locality.region
        zone = endpoint.locality.zone.isEmpty ? nil : endpoint.locality.zone
        labels = endpoint.labels.isEmpty ? nil : endpoint.labels
        health = endpoint.health == .healthy ? nil : endpoint.health.rawValue
    }
}

extension NodeInfo {
    /// The content of the `node` record that says so.
    package var recordPayload: [UInt8] { JSON.encode(NodePayload(self)) }
}

extension Endpoint {
    /// The content of the `endpoint` record that says so.
    /// - Parameter port: the one that clients call.
    package func recordPayload(port: UInt16) -> [UInt8] { JSON.encode(EndpointPayload(self, port: port)) }
}

/// JSON with a fixed order of keys, so that the same content is the same bytes.
enum JSON {
    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(value)) } catch { preconditionFailure("cannot encode \(type(of: value)): \(error)") }
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws(JSONFault) -> Value {
        do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch { throw JSONFault(error) }
    }
}

/// Why bytes are not the JSON that was expected, in one line.
struct JSONFault: Error, CustomStringConvertible {
    let description: String

    init(_ error: any Error) {
        description =
            switch error as? DecodingError {
            case .keyNotFound(let key, _): "the field \"\(key.stringValue)\" is missing"
            case .typeMismatch(_, let context), .valueNotFound(_, let context): "the field \"\(Self.path(context))\" has the wrong type"
            case .dataCorrupted(let context) where !context.codingPath.isEmpty: "the field \"\(Self.path(context))\" has a wrong value"
            default: "not the expected JSON"
            }
    }
    private static func path(_ context: DecodingError.Context) -> String { context.codingPath.map(\.stringValue).joined(separator: ".") }
}
