/// A hash of a name that is the same on every node, in every release and after every restart. It keeps nobody from choosing names that collide.
enum StableHash {
    /// FNV-1a, 64 bit, then a final avalanche: names differ in their last bytes.
    static func of(_ name: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash ^= hash >> 33
        hash = hash &* 0xff51_afd7_ed55_8ccd
        return hash ^ hash >> 33
    }
}
