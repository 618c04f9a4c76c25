import COpenSSL
import Platform
import TLS

/// A certificate authority for tests, made with OpenSSL's C API.
final class TestAuthority {
    let certificate: OpaquePointer
    let key: OpaquePointer
    nonisolated(unsafe) private static var serial = 1000

    init(_ name: String = "Test Root") {
        key = Self.makeKey()
        certificate = Self.make(
            subject: name, key: key, issuer: nil, issuerKey: key, from: -3600, to: 86_400,
            extensions: [(NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign")])
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    var rootDER: [UInt8] { der(certificate) }
    var trust: TrustStore { try! TrustStore(rootsDER: [rootDER]) }

    struct Leaf {
        var chainDER: [[UInt8]]
        var keyDER: [UInt8]
        var credential: Credential { try! Credential(chainDER: chainDER, privateKeyDER: keyDER) }
    }

    /// - Parameters:
    ///   - from: seconds from now; `to` too.
    func issue(
        _ uri: String? = "spiffe://lab/ns/default/sa/reviews", from: Int = -60, to: Int = 3600, usage: String? = "serverAuth,clientAuth",
        isCA: Bool = false, names: String? = nil
    ) -> Leaf {
        let key = Self.makeKey()
        defer { EVP_PKEY_free(key) }
        var extensions: [(CInt, String)] = [(NID_basic_constraints, isCA ? "critical,CA:TRUE" : "critical,CA:FALSE")]
        if isCA { extensions.append((NID_key_usage, "keyCertSign,digitalSignature")) }
        if let usage { extensions.append((NID_ext_key_usage, usage)) }
        if let names = names ?? uri.map({ "URI:\($0)" }) { extensions.append((NID_subject_alt_name, names)) }
        let leaf = Self.make(subject: "leaf", key: key, issuer: certificate, issuerKey: self.key, from: from, to: to, extensions: extensions)
        defer { X509_free(leaf) }
        return Leaf(chainDER: [der(leaf)], keyDER: Self.pkcs8(key))
    }

    private static func makeKey() -> OpaquePointer {
        let context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil)
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        precondition(
            EVP_PKEY_keygen_init(context) == 1 && EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1
                && EVP_PKEY_keygen(context, &key) == 1)
        return key!
    }

    private static func make(
        subject: String, key: OpaquePointer, issuer: OpaquePointer?, issuerKey: OpaquePointer, from: Int, to: Int, extensions: [(CInt, String)]
    ) -> OpaquePointer {
        let certificate = X509_new()!
        serial += 1
        X509_set_version(certificate, 2)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial)
        X509_gmtime_adj(X509_getm_notBefore(certificate), from)
        X509_gmtime_adj(X509_getm_notAfter(certificate), to)
        X509_set_pubkey(certificate, key)
        let name = X509_get_subject_name(certificate)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC_VALUE, Array(subject.utf8), CInt(subject.utf8.count), -1, 0)
        X509_set_issuer_name(certificate, issuer.map { X509_get_subject_name($0) } ?? name)
        for (nid, value) in extensions {
            let ext = X509V3_EXT_conf_nid(nil, nil, nid, value)
            precondition(ext != nil, "extension \(value)")
            X509_add_ext(certificate, ext, -1)
            X509_EXTENSION_free(ext)
        }
        precondition(X509_sign(certificate, issuerKey, EVP_sha256()) > 0)
        return certificate
    }

    private static let MBSTRING_ASC_VALUE: CInt = 0x1001

    private static func pkcs8(_ key: OpaquePointer) -> [UInt8] {
        let info = EVP_PKEY2PKCS8(key)
        defer { PKCS8_PRIV_KEY_INFO_free(info) }
        var bytes = [UInt8](repeating: 0, count: Int(i2d_PKCS8_PRIV_KEY_INFO(info, nil)))
        bytes.withUnsafeMutableBufferPointer {
            var position = $0.baseAddress
            _ = i2d_PKCS8_PRIV_KEY_INFO(info, &position)
        }
        return bytes
    }

    private func der(_ certificate: OpaquePointer) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(i2d_X509(certificate, nil)))
        bytes.withUnsafeMutableBufferPointer {
            var position = $0.baseAddress
            _ = i2d_X509(certificate, &position)
        }
        return bytes
    }
}

/// PEM (RFC 7468) of DER bytes, for the openssl program.
func pem(_ label: String, _ der: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: der.count, by: 3) {
        let group = der[start..<min(start + 3, der.count)]
        let value = group.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
        for index in 0..<4 { text.append(index <= group.count ? alphabet[Int(value >> UInt32(18 - 6 * index) & 63)] : 61) }
        if start % 48 == 45 { text.append(10) }
    }
    return "-----BEGIN \(label)-----\n\(String(decoding: text, as: UTF8.self))\n-----END \(label)-----\n"
}
