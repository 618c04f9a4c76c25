import COpenSSL
import Glibc
import Platform

/// Reads what we need of an X.509 certificate. The pointers are borrowed.
enum Certificate {
    /// A certificate from its DER form; the caller frees it. Nil, with an entry in the error queue, when the bytes are no certificate.
    static func parse(_ der: [UInt8]) -> OpaquePointer? {
        der.withUnsafeBufferPointer { bytes in
            var position = bytes.baseAddress
            guard let certificate = d2i_X509(nil, &position, bytes.count) else { return nil }
            guard position == bytes.baseAddress.map({ $0 + bytes.count }) else {
                X509_free(certificate)
                return nil
            }
            return certificate
        }
    }

    static func der(_ certificate: OpaquePointer) -> [UInt8] {
        let length = i2d_X509(certificate, nil)
        guard length > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: Int(length)) { buffer, count in
            var position = buffer.baseAddress
            count = max(0, Int(i2d_X509(certificate, &position)))
        }
    }

    /// The URIs among the subject alternative names, in order. One with a NUL in it is left out: no reader agrees on what it means.
    static func uris(_ certificate: OpaquePointer) -> [String] {
        guard let names = copenssl_subject_alt_names(certificate) else {
            ERR_clear_error()
            return []
        }
        defer { copenssl_names_free(names) }
        var result: [String] = []
        for index in 0..<copenssl_names_count(names) {
            var length: CInt = 0
            guard let text = copenssl_names_uri(names, index, &length), length > 0 else { continue }
            let bytes = UnsafeBufferPointer(start: text, count: Int(length))
            guard !bytes.contains(0), let uri = String(validating: bytes, as: UTF8.self) else { continue }
            result.append(uri)
        }
        return result
    }

    static func notAfter(_ certificate: OpaquePointer) -> WallTime? { time(X509_get0_notAfter(certificate)) }
    static func notBefore(_ certificate: OpaquePointer) -> WallTime? { time(X509_get0_notBefore(certificate)) }

    /// How people name it: its first URI, else its subject.
    static func name(_ certificate: OpaquePointer) -> String {
        if let uri = uris(certificate).first { return uri }
        var text = [CChar](repeating: 0, count: 256)
        guard X509_NAME_oneline(X509_get_subject_name(certificate), &text, CInt(text.count)) != nil else { return "(no name)" }
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    private static func time(_ value: UnsafePointer<ASN1_TIME>?) -> WallTime? {
        var parts = tm()
        guard let value, ASN1_TIME_to_tm(value, &parts) == 1 else { return nil }
        return WallTime(seconds: Int64(timegm(&parts)))
    }
}
