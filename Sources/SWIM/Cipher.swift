/// AES-GCM with a ring of keys, as the shell provides it. The first key seals; all are tried for opening.
///
/// A box is `nonce(12) | ciphertext | tag(16)`; nonces are the cipher's, random and never repeated.
package protocol PacketCipher: Sendable {
    func seal(_ plaintext: [UInt8], authenticating data: [UInt8]) -> [UInt8]?
    func open(_ box: ArraySlice<UInt8>, authenticating data: [UInt8]) -> [UInt8]?
}

enum Box {
    static let overhead = 1 + 12 + 16
}
