import MeshModel
import Plane

/// The application protocols on port 15008 that concern identity.
package enum IdentityProtocol {
    /// A joiner without a certificate; the server shows the node credential with the root behind it (`CredentialSet.join`).
    package static let join = "weft-join/1"
    package static let plane = "weft-plane/1"
}

extension FrameType {
    /// `JoinRequest` → `JoinReply`, on `weft-join/1`.
    static let join = FrameType(rawValue: 0x10)
    /// `SignRequest` → `SignReply`, on `weft-plane/1`.
    static let sign = FrameType(rawValue: 0x11)
    /// `RecoverRequest` → `SignReply`, on `weft-join/1`.
    static let recover = FrameType(rawValue: 0x12)
}

/// Messages as payloads.
enum Wire {
    static func encode(_ message: some Encodable) throws(MeshError) -> [UInt8] {
        do {
            return try StateJSON.encode(message)
        } catch {
            throw MeshError(.internal, code: "encode", "a message cannot be written: \(error)")
        }
    }

    static func decode<T: Decodable>(_ type: T.Type, _ payload: [UInt8]) throws(MeshError) -> T {
        do {
            return try StateJSON.decode(type, from: payload)
        } catch {
            throw .badRequest("a \(type) cannot be read: \(error)")
        }
    }
}
