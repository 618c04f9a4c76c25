import Glibc
import MeshModel

/// The host's own name, as `gethostname(2)` gives it.
package enum HostName {
    package static var current: String {
        // HOST_NAME_MAX is 64; the name may come without its zero.
        var buffer = [UInt8](repeating: 0, count: 256)
        let result = buffer.withUnsafeMutableBytes { gethostname($0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count - 1) }
        return result == 0 ? String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self) : ""
    }
}

enum SPIFFEIDSegment {
    static func isValid(_ text: String) -> Bool { text.utf8.count <= 128 && SPIFFEID.isSegment(text) }
}

enum Hex {
    static func text(_ number: UInt32) -> String { "0x" + String(number, radix: 16) }
}
