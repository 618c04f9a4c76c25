/// The user data that `nft` keeps in objects: type, length, value (libnftnl/udata.h). The kernel only stores it.
enum NFUserData {
    /// NFTNL_UDATA_*_COMMENT of tables, rules and elements; sets have another.
    static let comment: UInt8 = 0
    static let setKeyByteOrder: UInt8 = 0
    static let setDataByteOrder: UInt8 = 1
    static let setComment: UInt8 = 7

    /// What `nft` takes is 128 bytes with the end.
    static let commentLimit = 120

    /// A comment cut to what fits, so that it is read back as it was written.
    static func fitting(_ text: String?) -> String? {
        guard let text else { return nil }
        if text.utf8.count <= commentLimit, !text.utf8.contains(0) { return text }
        var bytes = Array(text.utf8.prefix(commentLimit).prefix { $0 != 0 })
        // Not half a character at the end.
        while !bytes.isEmpty, String(validating: bytes, as: UTF8.self) == nil { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A comment, as the value of `type`.
    static func text(_ text: String, type: UInt8 = comment) -> [UInt8] {
        let bytes = Array(text.utf8)
        return [type, UInt8(bytes.count + 1)] + bytes + [0]
    }
    static func number(_ value: UInt32, type: UInt8) -> [UInt8] { [type, 4] + NFBytes.host(value) }

    static func comment(in data: UnsafeRawBufferPointer, type wanted: UInt8 = comment) -> String? {
        var rest = data
        while rest.count >= 2 {
            let end = 2 + Int(rest[1])
            guard end <= rest.count else { return nil }
            if rest[0] == wanted { return String(decoding: rest[2..<end].prefix { $0 != 0 }, as: UTF8.self) }
            rest = UnsafeRawBufferPointer(rebasing: rest[end...])
        }
        return nil
    }
}
