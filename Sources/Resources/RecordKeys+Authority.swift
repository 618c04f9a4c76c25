import Identity
import MeshModel
import TLS

extension RecordKeys {
    /// For resources: an author's certificate must have been valid when it wrote. What an administrator wrote last month stays in force, and a certificate
    /// lasts a day.
    var resourceAuthority: ResourceAuthority {
        ResourceAuthority(
            sha256: { Digest.sha256($0) }, sign: { [self] in sign($0) }, ownRights: { [self] in rights },
            verify: { [self] bytes, write in
                do throws(MeshError) {
                    let signer = try verify(
                        bytes, signature: write.signature, certificate: write.certificate, node: write.version.author, at: write.version.time.wall)
                    return .success(signer.rights)
                } catch {
                    return .failure(.badSignature(error.message))
                }
            })
    }
}
