import MeshModel
import Platform

/// One writing of a resource, signed by the node that made it.
package struct ResourceWrite: Hashable, Sendable {
    package let key: ResourceKey
    package let version: ResourceVersion
    /// The document, kept byte for byte so that fields of newer versions survive; nil is a deletion.
    package let payload: [UInt8]?
    /// What its author saw there when it wrote; nil when there was nothing.
    package let replaces: ResourceVersion?
    /// The author's certificate, DER.
    package let certificate: [UInt8]
    package let signature: [UInt8]

    package init(
        key: ResourceKey, version: ResourceVersion, payload: [UInt8]?, replaces: ResourceVersion?, certificate: [UInt8], signature: [UInt8]
    ) {
        self.key = key
        self.version = version
        self.payload = payload
        self.replaces = replaces
        self.certificate = certificate
        self.signature = signature
    }

    package var isDeletion: Bool { payload == nil }
    /// Bytes it takes, about.
    package var cost: Int { 256 + (payload?.count ?? 0) + certificate.count + signature.count }

    /// What its author signs.
    static func signedBytes(key: ResourceKey, version: ResourceVersion, payload: [UInt8]?, replaces: ResourceVersion?) -> [UInt8] {
        var bytes = Array("weft-resource-1".utf8)
        for text in [key.path, version.author, replaces?.description ?? ""] { bytes.append(lengthPrefixed: Array(text.utf8)) }
        bytes.append(bigEndian: version.time.rawValue)
        bytes.append(payload == nil ? 0 : 1)
        bytes.append(lengthPrefixed: payload ?? [])
        return bytes
    }
    var signedBytes: [UInt8] { Self.signedBytes(key: key, version: version, payload: payload, replaces: replaces) }
}

/// The cryptography that the core needs, as plain functions: it holds no key and reads no clock.
package struct ResourceAuthority: Sendable {
    /// SHA-256.
    package var sha256: @Sendable ([UInt8]) -> [UInt8]
    /// Signs with this node's certificate; nil when there is none that is valid now.
    package var sign: @Sendable ([UInt8]) -> (certificate: [UInt8], signature: [UInt8])?
    /// What this node may write.
    package var ownRights: @Sendable () -> [ConfigurationRight]
    /// The rights of the node `author`, if it signed the bytes with a certificate of this mesh that was valid at `time`; else a reason.
    package var verify: @Sendable (_ bytes: [UInt8], _ write: ResourceWrite) -> Result<[ConfigurationRight], ResourceRefusal>

    package init(
        sha256: @escaping @Sendable ([UInt8]) -> [UInt8], sign: @escaping @Sendable ([UInt8]) -> (certificate: [UInt8], signature: [UInt8])?,
        ownRights: @escaping @Sendable () -> [ConfigurationRight],
        verify: @escaping @Sendable ([UInt8], ResourceWrite) -> Result<[ConfigurationRight], ResourceRefusal>
    ) {
        self.sha256 = sha256
        self.sign = sign
        self.ownRights = ownRights
        self.verify = verify
    }
}
