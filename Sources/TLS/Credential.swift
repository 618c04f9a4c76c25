import COpenSSL
import Platform

/// A certificate chain and its private key, ready to be used by many connections on many threads.
///
/// Unchecked: the OpenSSL objects are never changed after `init`, and their reference counts are atomic.
public final class Credential: @unchecked Sendable {
    let certificate: OpaquePointer
    let key: OpaquePointer
    /// The certificates between the leaf and the root, in order; shared by reference count.
    let chain: OpaquePointer

    public let notBefore: WallTime
    public let notAfter: WallTime
    /// The URIs in the leaf's subject alternative name; a SPIFFE certificate has exactly one.
    public let uris: [String]

    /// - Parameters:
    ///   - chainDER: the leaf first, then what leads to the root; the root only where peers are to see it.
    ///   - privateKeyDER: PKCS#8, not encrypted.
    /// - Throws: `badCredential` when something can't be read or the key is not the leaf's.
    public init(chainDER: [[UInt8]], privateKeyDER: [UInt8]) throws(TLSError) {
        ERR_clear_error()
        guard let first = chainDER.first, let leaf = Certificate.parse(first) else {
            throw TLSError.library(.badCredential, "the certificate can't be read", remedy: "it must be X.509 in DER form")
        }
        guard let key = Self.parseKey(privateKeyDER) else {
            X509_free(leaf)
            throw TLSError.library(.badCredential, "the private key can't be read", remedy: "it must be PKCS#8 in DER form and not encrypted")
        }
        guard let chain = copenssl_x509_stack_new() else { preconditionFailure("OpenSSL: out of memory") }
        self.certificate = leaf
        self.key = key
        self.chain = chain
        uris = Certificate.uris(leaf)
        notBefore = Certificate.notBefore(leaf) ?? WallTime(seconds: .min)
        notAfter = Certificate.notAfter(leaf) ?? WallTime(seconds: .min)
        for (index, der) in chainDER.dropFirst().enumerated() {
            guard let certificate = Certificate.parse(der) else {
                throw TLSError.library(.badCredential, "certificate \(index + 2) of the chain of \(Certificate.name(leaf)) can't be read")
            }
            copenssl_x509_stack_push(chain, certificate)
        }
        guard X509_check_private_key(leaf, key) == 1 else {
            throw TLSError.library(.badCredential, "the private key is not that of the certificate of \(Certificate.name(leaf))")
        }
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
        copenssl_x509_stack_free(chain)
    }

    /// Makes a connection show this credential. False, with an entry in the error queue, when OpenSSL refuses it (a key too weak …).
    func use(on ssl: OpaquePointer) -> Bool {
        SSL_use_cert_and_key(ssl, certificate, key, chain, 1) == 1
    }

    private static func parseKey(_ der: [UInt8]) -> OpaquePointer? {
        der.withUnsafeBufferPointer { bytes in
            var position = bytes.baseAddress
            guard let info = d2i_PKCS8_PRIV_KEY_INFO(nil, &position, bytes.count) else { return nil }
            defer { PKCS8_PRIV_KEY_INFO_free(info) }
            return EVP_PKCS82PKEY(info)
        }
    }
}
