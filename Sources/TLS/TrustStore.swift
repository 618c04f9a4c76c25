import COpenSSL

/// The certificates at which a peer's chain may end. Every one is an anchor, self-signed or not.
///
/// Unchecked: never changed after `init`; OpenSSL locks its look-ups and counts references atomically.
public final class TrustStore: @unchecked Sendable {
    let store: OpaquePointer

    /// - Throws: `badTrust` when there is none, or one can't be read.
    public init(rootsDER: [[UInt8]]) throws(TLSError) {
        ERR_clear_error()
        guard let store = X509_STORE_new() else { preconditionFailure("OpenSSL: out of memory") }
        self.store = store
        X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN))
        guard !rootsDER.isEmpty else { throw TLSError(.badTrust, "there is no root certificate to trust") }
        for (index, der) in rootsDER.enumerated() {
            guard let root = Certificate.parse(der) else {
                throw TLSError.library(.badTrust, "root certificate \(index + 1) can't be read", remedy: "it must be X.509 in DER form")
            }
            defer { X509_free(root) }
            guard X509_STORE_add_cert(store, root) == 1 else { throw TLSError.library(.badTrust, "root certificate \(index + 1) can't be used") }
        }
    }

    deinit { X509_STORE_free(store) }
}
