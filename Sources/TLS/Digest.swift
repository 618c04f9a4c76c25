import COpenSSL

/// Hashes, from OpenSSL.
public enum Digest {
    /// SHA-256 (FIPS 180-4): 32 bytes.
    public static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { output, count in
            var length: UInt32 = 0
            let done = EVP_Digest(bytes, bytes.count, output.baseAddress, &length, EVP_sha256(), nil)
            precondition(done == 1 && length == 32, "OpenSSL has no SHA-256")
            count = 32
        }
    }
}
