import Catalog

/// Signatures are not what is simulated: a digest that tells records apart, and one that names who made it.
enum CheapAuthority {
    static func digest(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var (a, b): (UInt64, UInt64) = (0xcbf2_9ce4_8422_2325, 0x9e37_79b9_7f4a_7c15)
        for byte in bytes {
            a = (a ^ UInt64(byte)) &* 0x100_0000_01b3
            b = (b &+ UInt64(byte) ^ a >> 29) &* 0xff51_afd7_ed55_8ccd
        }
        var result: [UInt8] = []
        result.reserveCapacity(32)
        for word in [a, b, a ^ b >> 31, a &+ b] { for shift in stride(from: UInt64(0), to: 64, by: 8) { result.append(UInt8(truncatingIfNeeded: word >> shift)) } }
        return result
    }

    static func make(_ name: String) -> RecordAuthority {
        let own = Array(name.utf8)
        return RecordAuthority(
            sha256: { digest($0) },
            sign: { (chain: [own], signature: digest(own + $0)) },
            verify: { (bytes: [UInt8], signature: [UInt8], chain: [[UInt8]], origin: String) throws(SignatureFault) in
                guard let signer = chain.first, signature == digest(signer + bytes) else { throw .invalid("its digest is another") }
                guard signer.elementsEqual(origin.utf8) else { throw .otherSigner(String(decoding: signer, as: UTF8.self)) }
            })
    }
}
