import Platform

/// An origin's word on all of its records at one version: the digest of the whole set, signed with the origin's node certificate.
///
/// One signature covers everything, so a node that starts verifies once per origin and not once per record, and nobody who passes an
/// origin's records on can change, add or leave out one.
package struct SignedHead: Hashable, Sendable {
    package let origin: String
    package let position: Position
    /// SHA-256 over the digests of the live records, in the order of their versions.
    package let root: RecordDigest
    /// The signer's certificate and what leads to the root, DER, leaf first.
    package let chain: [[UInt8]]
    package let signature: [UInt8]

    package init(origin: String, position: Position, root: RecordDigest, chain: [[UInt8]], signature: [UInt8]) {
        self.origin = origin
        self.position = position
        self.root = root
        self.chain = chain
        self.signature = signature
    }

    /// The bytes that are signed.
    package static func signedBytes(origin: String, position: Position, root: RecordDigest) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(lengthPrefixed: Array("weft-catalog-head-1".utf8))
        bytes.append(lengthPrefixed: Array(origin.utf8))
        bytes.append(bigEndian: position.generation)
        bytes.append(bigEndian: position.version)
        root.append(to: &bytes)
        return bytes
    }
}

/// The cryptography that the core needs, as plain functions: it holds no key and reads no clock.
package struct RecordAuthority: Sendable {
    /// SHA-256.
    package var sha256: @Sendable ([UInt8]) -> [UInt8]
    /// Signs with this node's certificate; nil when there is none that is valid now.
    package var sign: @Sendable ([UInt8]) -> (chain: [[UInt8]], signature: [UInt8])?
    /// Throws unless the node `origin` signed the bytes with a certificate that is valid now and of this mesh.
    package var verify: @Sendable (_ bytes: [UInt8], _ signature: [UInt8], _ chain: [[UInt8]], _ origin: String) throws(SignatureFault) -> Void

    package init(
        sha256: @escaping @Sendable ([UInt8]) -> [UInt8], sign: @escaping @Sendable ([UInt8]) -> (chain: [[UInt8]], signature: [UInt8])?,
        verify: @escaping @Sendable ([UInt8], [UInt8], [[UInt8]], String) throws(SignatureFault) -> Void
    ) {
        self.sha256 = sha256
        self.sign = sign
        self.verify = verify
    }

    func digest(key: RecordKey, version: UInt64, payload: [UInt8]) -> RecordDigest {
        digest(Record.digestInput(key: key, version: version, payload: payload))
    }
    func digest(_ bytes: [UInt8]) -> RecordDigest {
        guard let digest = RecordDigest(sha256(bytes)) else { preconditionFailure("sha256 gave \(sha256(bytes).count) bytes") }
        return digest
    }
}

/// Why a signature proves nothing.
package enum SignatureFault: Error, Hashable, Sendable {
    /// Wrong, or its certificate is not valid here and now.
    case invalid(String)
    /// A good signature of somebody else.
    case otherSigner(String)
}
