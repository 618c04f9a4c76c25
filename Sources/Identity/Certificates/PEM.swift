import MeshModel
import SwiftASN1

/// Certificates as text (RFC 7468).
package enum PEM {
    package static func certificate(_ der: [UInt8]) -> String { PEMDocument(type: "CERTIFICATE", derBytes: der).pemString + "\n" }

    /// Every certificate in the text, in its order; other blocks are skipped.
    /// - Parameter path: named in the error.
    package static func certificates(_ text: String, path: String) throws(MeshError) -> [[UInt8]] {
        do {
            return try PEMDocument.parseMultiple(pemString: text).filter { $0.discriminator == "CERTIFICATE" }.map(\.derBytes)
        } catch {
            throw .corrupt(path, "it is no PEM text")
        }
    }

    /// The private key and the certificates of one file.
    package static func credential(_ text: String, path: String) throws(MeshError) -> (key: PrivateKey, chain: [[UInt8]]) {
        let chain = try certificates(text, path: path)
        guard let documents = try? PEMDocument.parseMultiple(pemString: text),
            let key = documents.first(where: { $0.discriminator == "PRIVATE KEY" }),
            !chain.isEmpty
        else { throw .corrupt(path, "it must hold a private key and a certificate") }
        return (try PrivateKey(pem: key.pemString, path: path), chain)
    }
}
