import Platform

/// Lines of named values, as JSON objects or as words for people (`key=value`, the first value bare), built into one buffer that is used again.
///
/// For logs that are written with every connection: nothing is allocated once the buffer has grown. Not thread-safe.
package struct LogLines {
    package enum Format: Sendable { case json, words }

    package private(set) var bytes: [UInt8] = []
    package let format: Format
    private var isFirst = true

    package init(_ format: Format) { self.format = format }

    package mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    package mutating func begin() {
        isFirst = true
        if format == .json { bytes.append(UInt8(ascii: "{")) }
    }

    package mutating func end() {
        if format == .json { bytes.append(UInt8(ascii: "}")) }
        bytes.append(UInt8(ascii: "\n"))
    }

    package mutating func field(_ key: StaticString, _ text: String) {
        name(key)
        bytes += Self.encoded(text, format)
    }

    /// - Parameter encoded: what `encoded` made of the text, in this format.
    package mutating func field(_ key: StaticString, encoded: [UInt8]) {
        name(key)
        bytes += encoded
    }

    package mutating func field(_ key: StaticString, _ number: UInt64) {
        name(key)
        DecimalText.append(number, to: &bytes)
    }

    /// A number of thousandths, as `12.345`.
    package mutating func field(_ key: StaticString, thousandths: UInt64) {
        name(key)
        DecimalText.append(thousandths / 1000, to: &bytes)
        let rest = thousandths % 1000
        bytes.append(UInt8(ascii: "."))
        bytes.append(UInt8(ascii: "0") + UInt8(rest / 100))
        bytes.append(UInt8(ascii: "0") + UInt8(rest / 10 % 10))
        bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
    }

    package mutating func field(_ key: StaticString, _ address: SocketAddress) {
        name(key)
        if format == .json { bytes.append(UInt8(ascii: "\"")) }
        address.append(to: &bytes)
        if format == .json { bytes.append(UInt8(ascii: "\"")) }
    }

    /// A text as it stands in a line; worth keeping for texts that come again and again.
    package static func encoded(_ text: String, _ format: Format) -> [UInt8] {
        var result: [UInt8] = []
        if format == .json || text.utf8.contains(where: { $0 <= 0x20 }) {
            JSONText.quote(text, into: &result)
        } else {
            result += text.isEmpty ? [UInt8(ascii: "-")] : Array(text.utf8)
        }
        return result
    }

    private mutating func name(_ key: StaticString) {
        let text = UnsafeBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount)
        if format == .json {
            bytes.append(isFirst ? UInt8(ascii: "\"") : UInt8(ascii: ","))
            if !isFirst { bytes.append(UInt8(ascii: "\"")) }
            bytes.append(contentsOf: text)
            bytes.append(UInt8(ascii: "\""))
            bytes.append(UInt8(ascii: ":"))
        } else if !isFirst {
            bytes.append(UInt8(ascii: " "))
            bytes.append(contentsOf: text)
            bytes.append(UInt8(ascii: "="))
        }
        isFirst = false
    }
}
