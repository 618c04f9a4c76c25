/// How a single value is read: what people must write, and how that becomes a value.
///
/// Modules add their own (`extension ScalarType where Value == IPAddress`); the ones here know only Swift's types.
package struct ScalarType<Value> {
    /// With its article, to follow "must be": `a port from 1 to 65535`.
    package let expected: String
    package let read: (Scalar) throws(Mismatch) -> Value

    package init(_ expected: String, read: @escaping (Scalar) throws(Mismatch) -> Value) {
        self.expected = expected
        self.read = read
    }

    /// From a failable initialiser over the text.
    package init(_ expected: String, parse: @escaping (String) -> Value?) {
        self.init(expected) { (scalar) throws(Mismatch) in
            guard let value = parse(scalar.text) else { throw Mismatch() }
            return value
        }
    }

    /// The same with one more condition, told as `expected`.
    package func checked(_ expected: String, _ isValid: @escaping (Value) -> Bool) -> ScalarType {
        ScalarType(expected) { (scalar) throws(Mismatch) in
            let value = try read(scalar)
            guard isValid(value) else { throw Mismatch() }
            return value
        }
    }

    /// Another value made from this one; nil does not fit.
    package func map<Other>(_ expected: String, _ transform: @escaping (Value) -> Other?) -> ScalarType<Other> {
        ScalarType<Other>(expected) { (scalar) throws(Mismatch) in
            guard let value = transform(try read(scalar)) else { throw Mismatch() }
            return value
        }
    }
}

/// The text is not what was expected; `hint` says what was probably meant.
package struct Mismatch: Error {
    package var hint: String?
    package init(hint: String? = nil) { self.hint = hint }
}

extension ScalarType where Value == String {
    /// Any text that is not empty, as it is written: `version: 1.10` stays `1.10`.
    package static var text: ScalarType { ScalarType("a text") { $0.isEmpty ? nil : $0 } }
    /// Any text; quotes make an empty one.
    package static var anyText: ScalarType { ScalarType("a text") { $0 } }
}

extension ScalarType where Value == Bool {
    /// `true` or `false` (YAML 1.2 core schema). The other booleans of YAML 1.1 are refused with a hint and never taken as text.
    package static var bool: ScalarType {
        ScalarType("true or false") { (scalar) throws(Mismatch) in
            let word = scalar.text.lowercased()
            if ["true", "false"].contains(word) {
                guard scalar.isPlain else { throw Mismatch(hint: "write \(word) without quotes") }
                guard [word, word.uppercased(), word.prefix(1).uppercased() + word.dropFirst()].contains(scalar.text) else {
                    throw Mismatch(hint: "write \(word)")
                }
                return word == "true"
            }
            if ["yes", "on", "y", "1", "enabled"].contains(word) { throw Mismatch(hint: "write true") }
            if ["no", "off", "n", "0", "disabled"].contains(word) { throw Mismatch(hint: "write false") }
            throw Mismatch()
        }
    }
}

extension ScalarType where Value: FixedWidthInteger {
    /// Decimal, `0x` hexadecimal or `0o` octal, within `range`.
    package static func integer(_ range: ClosedRange<Value>) -> ScalarType {
        integer("a number from \(range.lowerBound) to \(range.upperBound)", range)
    }

    package static func integer(_ expected: String, _ range: ClosedRange<Value>) -> ScalarType {
        ScalarType(expected) { (scalar) throws(Mismatch) in
            guard scalar.isPlain else { throw Mismatch(hint: Value(scalar.text) == nil ? nil : "write it without quotes") }
            let text = scalar.text
            if text.count > 1, text.hasPrefix("0"), text.allSatisfy({ $0.isASCII && $0.isWholeNumber }) {
                let digits = text.drop { $0 == "0" }
                throw Mismatch(hint: "leading zeros are ambiguous: write \(digits.isEmpty ? "0" : digits), or 0o… for octal")
            }
            let radix = text.hasPrefix("0x") ? 16 : text.hasPrefix("0o") ? 8 : 10
            let value = Value(radix == 10 ? Substring(text) : text.dropFirst(2), radix: radix)
            guard let value, range.contains(value) else { throw Mismatch() }
            return value
        }
    }
}

extension ScalarType where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
    /// One of an enum's raw values, with the nearest as the hint.
    package static func choice(_ type: Value.Type = Value.self) -> ScalarType {
        let words = Value.allCases.map(\.rawValue)
        return ScalarType("one of " + words.joined(separator: ", ")) { (scalar) throws(Mismatch) in
            guard let value = Value(rawValue: scalar.text) else {
                throw Mismatch(hint: Suggestion.nearest(to: scalar.text, among: words).map { "did you mean \($0)?" })
            }
            return value
        }
    }
}
