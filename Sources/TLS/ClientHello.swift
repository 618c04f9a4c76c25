/// What a client asked for, before anything is answered.
public struct ClientHello: Sendable, Equatable {
    /// In lower case; nil when the client sent none.
    public let serverName: String?
    /// What the client offers, in its order.
    public let alpn: [String]
    /// The protocol that the connection will have if it is accepted. Decide by this one and not by `alpn`: a client may offer several.
    public let selectedALPN: String?

    public init(serverName: String?, alpn: [String], selectedALPN: String?) {
        self.serverName = serverName
        self.alpn = alpn
        self.selectedALPN = selectedALPN
    }
}

/// What to do with a client.
public enum ServerDecision: Sendable {
    public enum PeerCertificate: Sendable {
        /// No certificate, no connection.
        case required
        /// Verified when the client shows one; it may come without (the first contact of a joining node).
        case optional
    }
    case accept(Credential, peerCertificate: PeerCertificate)
    /// Ends the handshake with the alert `unrecognized_name`.
    case refuse
}

/// The two extensions that matter, from their bytes.
enum HelloExtensions {
    enum Parsed<Value: Equatable & Sendable>: Equatable, Sendable {
        case value(Value)
        case malformed
    }

    /// RFC 6066 section 3: a list of which only the host name is defined.
    static func serverName(_ bytes: UnsafeRawBufferPointer) -> Parsed<String> {
        guard bytes.count >= 5, Int(bytes[0]) << 8 | Int(bytes[1]) == bytes.count - 2, bytes[2] == 0 else { return .malformed }
        let length = Int(bytes[3]) << 8 | Int(bytes[4])
        guard length > 0, length <= 255, length == bytes.count - 5 else { return .malformed }
        let name = UnsafeRawBufferPointer(rebasing: bytes[5...])
        guard name.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return .malformed }
        return .value(String(decoding: name, as: UTF8.self).lowercased())
    }

    /// RFC 7301 section 3.1.
    static func alpn(_ bytes: UnsafeRawBufferPointer) -> Parsed<[String]> {
        guard bytes.count >= 4, Int(bytes[0]) << 8 | Int(bytes[1]) == bytes.count - 2 else { return .malformed }
        var result: [String] = []
        var position = 2
        while position < bytes.count {
            let length = Int(bytes[position])
            guard length > 0, position + 1 + length <= bytes.count else { return .malformed }
            result.append(String(decoding: UnsafeRawBufferPointer(rebasing: bytes[position + 1..<position + 1 + length]), as: UTF8.self))
            position += 1 + length
        }
        return .value(result)
    }

    /// The wire form of a list of protocols; each 1–255 bytes.
    static func encode(_ protocols: [String]) -> [UInt8] {
        var bytes: [UInt8] = []
        for name in protocols {
            precondition((1...255).contains(name.utf8.count), "an ALPN name has 1 to 255 bytes")
            bytes.append(UInt8(name.utf8.count))
            bytes += name.utf8
        }
        return bytes
    }
}
