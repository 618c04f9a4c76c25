/// The server name by which a client asks for a workload's certificate.
///
/// `<account>.<namespace>.<trust domain>` when every label is letters, digits and hyphens and at most 63 bytes, so that people can read it in a capture;
/// else `h-<hash>.weft.invalid`, where the hash is the first 32 characters of base32(SHA-256(identity)), lower case.
package enum SNI {
    /// - Parameter sha256: SHA-256 of its argument, from whichever library the caller links.
    package static func name(for identity: SPIFFEID, sha256: ([UInt8]) -> [UInt8]) -> String {
        if let (namespace, account) = identity.workload {
            let name = "\(account).\(namespace).\(identity.trustDomain)"
            if name.utf8.count <= 253, name.split(separator: ".", omittingEmptySubsequences: false).count >= 3, !account.contains("."), !namespace.contains("."),
                name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(isLabel)
            {
                return name.lowercased() == name ? name : hashed(identity, sha256: sha256)
            }
        }
        return hashed(identity, sha256: sha256)
    }

    private static func hashed(_ identity: SPIFFEID, sha256: ([UInt8]) -> [UInt8]) -> String {
        "h-\(base32(sha256(Array(identity.description.utf8))).prefix(32)).weft.invalid"
    }

    private static func isLabel(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.count <= 63
            && text.utf8.allSatisfy { ($0 >= 97 && $0 <= 122) || ($0 >= 65 && $0 <= 90) || ($0 >= 48 && $0 <= 57) || $0 == 45 }
    }

    /// RFC 4648 section 6, lower case, without padding.
    package static func base32(_ bytes: [UInt8]) -> String {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        var output: [UInt8] = []
        var bits = 0
        var value: UInt32 = 0
        for byte in bytes {
            value = value << 8 | UInt32(byte)
            bits += 8
            while bits >= 5 {
                output.append(alphabet[Int(value >> UInt32(bits - 5) & 31)])
                bits -= 5
            }
        }
        if bits > 0 { output.append(alphabet[Int(value << UInt32(5 - bits) & 31)]) }
        return String(decoding: output, as: UTF8.self)
    }
}
