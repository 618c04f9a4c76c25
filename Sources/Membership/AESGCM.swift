import COpenSSL
import SWIM

/// The keyring as the core's cipher: AES-GCM by OpenSSL, random nonces of twelve bytes, tags of sixteen (NIST SP 800-38D).
///
/// With random nonces one key should seal at most 2³² packets; at gossip's pace that is years, and keys rotate.
struct AESGCM: PacketCipher {
    let keys: [[UInt8]]
    private static let nonceBytes = 12
    private static let tagBytes = 16

    /// Nil for an empty ring.
    init?(_ keyring: Keyring) {
        guard !keyring.isEmpty else { return nil }
        keys = keyring.keys
    }

    func seal(_ plaintext: [UInt8], authenticating data: [UInt8]) -> [UInt8]? {
        guard let key = keys.first, let context = EVP_CIPHER_CTX_new() else { return nil }
        defer { EVP_CIPHER_CTX_free(context) }
        var box = [UInt8](repeating: 0, count: Self.nonceBytes + plaintext.count + Self.tagBytes)
        let sealed = box.withUnsafeMutableBytes { box -> Bool in
            let nonce = box.baseAddress!.assumingMemoryBound(to: UInt8.self)
            let output = nonce + Self.nonceBytes
            var length: CInt = 0
            guard RAND_bytes(nonce, CInt(Self.nonceBytes)) == 1, EVP_EncryptInit_ex(context, Self.cipher(key), nil, key, nonce) == 1 else {
                return false
            }
            if !data.isEmpty, EVP_EncryptUpdate(context, nil, &length, data, CInt(data.count)) != 1 { return false }
            guard EVP_EncryptUpdate(context, output, &length, plaintext, CInt(plaintext.count)) == 1 else { return false }
            guard EVP_EncryptFinal_ex(context, output + Int(length), &length) == 1 else { return false }
            return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CInt(Self.tagBytes), output + plaintext.count) == 1
        }
        return sealed ? box : nil
    }

    func open(_ box: ArraySlice<UInt8>, authenticating data: [UInt8]) -> [UInt8]? {
        guard box.count >= Self.nonceBytes + Self.tagBytes else { return nil }
        for key in keys {
            if let plaintext = open(box, authenticating: data, with: key) { return plaintext }
        }
        return nil
    }

    private func open(_ box: ArraySlice<UInt8>, authenticating data: [UInt8], with key: [UInt8]) -> [UInt8]? {
        guard let context = EVP_CIPHER_CTX_new() else { return nil }
        defer { EVP_CIPHER_CTX_free(context) }
        let count = box.count - Self.nonceBytes - Self.tagBytes
        var plaintext = [UInt8](repeating: 0, count: count + 1)  // never without a base address
        var tag = Array(box.suffix(Self.tagBytes))
        let opened = box.withUnsafeBytes { box -> Bool in
            let nonce = box.baseAddress!.assumingMemoryBound(to: UInt8.self)
            var length: CInt = 0
            guard EVP_DecryptInit_ex(context, Self.cipher(key), nil, key, nonce) == 1 else { return false }
            if !data.isEmpty, EVP_DecryptUpdate(context, nil, &length, data, CInt(data.count)) != 1 { return false }
            guard EVP_DecryptUpdate(context, &plaintext, &length, nonce + Self.nonceBytes, CInt(count)) == 1 else { return false }
            guard EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CInt(Self.tagBytes), &tag) == 1 else { return false }
            var rest: UInt8 = 0
            return EVP_DecryptFinal_ex(context, &rest, &length) == 1
        }
        guard opened else {
            ERR_clear_error()
            return nil
        }
        plaintext.removeLast()
        return plaintext
    }

    private static func cipher(_ key: [UInt8]) -> OpaquePointer? {
        switch key.count {
        case 16: EVP_aes_128_gcm()
        case 24: EVP_aes_192_gcm()
        default: EVP_aes_256_gcm()
        }
    }
}
