/// Appends JSON to a byte array, for lines that are written often and have a fixed shape.
package enum JSONText {
    /// A quoted, escaped string (RFC 8259 section 7).
    package static func quote(_ text: String, into out: inout [UInt8]) {
        out.append(0x22)
        for byte in text.utf8 {
            switch byte {
            case 0x22: out += [0x5c, 0x22]
            case 0x5c: out += [0x5c, 0x5c]
            case 0x0a: out += [0x5c, 0x6e]
            case 0..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                out += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: out.append(byte)
            }
        }
        out.append(0x22)
    }

    /// `{"key":value,…}` with a line feed. Values are already JSON.
    package static func object(_ fields: [(String, Value)], into out: inout [UInt8]) {
        out.append(0x7b)
        for (index, field) in fields.enumerated() {
            if index > 0 { out.append(0x2c) }
            quote(field.0, into: &out)
            out.append(0x3a)
            switch field.1 {
            case .text(let text): quote(text, into: &out)
            case .number(let number): out += String(number).utf8
            case .decimal(let number): out += "\(number)".utf8
            }
        }
        out += [0x7d, 0x0a]
    }

    package enum Value {
        case text(String)
        case number(UInt64)
        case decimal(Double)
    }
}
