import Crypto
import FoundationEssentials

/// Lower case hexadecimal.
package enum Hex {
    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var output: [UInt8] = []
        for byte in bytes {
            output.append(digits[Int(byte >> 4)])
            output.append(digits[Int(byte & 15)])
        }
        return String(decoding: output, as: UTF8.self)
    }
}

/// RFC 4648: base64, and base64url without padding.
package enum Base64 {
    package static func encode(_ bytes: some Sequence<UInt8>) -> String { Data(bytes).base64EncodedString() }
    package static func decode(_ text: String) -> [UInt8]? { Data(base64Encoded: text).map { [UInt8]($0) } }

    package static func encodeURL(_ bytes: some Sequence<UInt8>) -> String {
        var text = ""
        for character in encode(bytes).unicodeScalars {
            switch character {
            case "+": text.unicodeScalars.append("-")
            case "/": text.unicodeScalars.append("_")
            case "=": break
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }
    package static func decodeURL(_ text: some StringProtocol) -> [UInt8]? {
        var plain = ""
        for character in text.unicodeScalars {
            switch character {
            case "-": plain.unicodeScalars.append("+")
            case "_": plain.unicodeScalars.append("/")
            case "+", "/", "=": return nil
            default: plain.unicodeScalars.append(character)
            }
        }
        while plain.utf8.count % 4 != 0 { plain.append("=") }
        return decode(plain)
    }
}

/// Bytes that travel in JSON as base64.
package struct Bytes: Codable, Hashable, Sendable {
    package var bytes: [UInt8]
    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let bytes = Base64.decode(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "not base64"))
        }
        self.bytes = bytes
    }
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(Base64.encode(bytes))
    }
}

/// SHA-256 (FIPS 180-4).
package enum Hash {
    package static func sha256(_ bytes: [UInt8]) -> [UInt8] { [UInt8](SHA256.hash(data: bytes)) }

    /// Equality in a time that does not depend on where the two differ.
    package static func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        var difference: UInt8 = 0
        for index in a.indices { difference |= a[index] ^ b[index] }
        return difference == 0
    }
}

/// Bytes from the system's random source.
package enum Random {
    package static func bytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}
