/// Durations as `5s`, `250ms`, `1m30s`, `24h`: whole or decimal numbers with a unit each, the biggest first is not required.
package enum DurationText {
    private static let units: [(suffix: String, nanoseconds: Int64)] = [
        ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1),
    ]

    /// Nil when the text is no duration or longer than 292 years. A bare `0` needs no unit.
    package static func parse(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        var rest = Substring(text)
        guard !rest.isEmpty else { return nil }
        var total: Int64 = 0
        while !rest.isEmpty {
            let number = rest.prefix { ($0.isASCII && $0.isWholeNumber) || $0 == "." }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let scale = units.first(where: { $0.suffix == unit })?.nanoseconds, let part = Decimal.scaled(number, by: scale) else { return nil }
            let (sum, overflow) = total.addingReportingOverflow(part)
            guard !overflow else { return nil }
            total = sum
        }
        return .nanoseconds(total)
    }

    /// The shortest exact text that `parse` reads back; nanoseconds are the finest.
    package static func format(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        var rest = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        if rest <= 0 { return "0s" }
        var text = ""
        // Days stay hours: `24h` is how people write a lifetime.
        for unit in units.dropFirst() where rest >= unit.nanoseconds {
            text += "\(rest / unit.nanoseconds)\(unit.suffix)"
            rest %= unit.nanoseconds
        }
        return text
    }
}

/// Sizes in bytes as `64KiB`, `1MiB`, `4096`, `10MB`.
package enum SizeText {
    private static let units: [(suffix: String, bytes: Int64)] = [
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("KB", 1_000), ("B", 1),
        ("", 1),
    ]

    package static func parse(_ text: String) -> Int? {
        let number = text.prefix { ($0.isASCII && $0.isWholeNumber) || $0 == "." }
        let unit = text.dropFirst(number.count)
        guard let scale = units.first(where: { $0.suffix == unit })?.bytes, let value = Decimal.scaled(number, by: scale) else { return nil }
        return Int(value)
    }

    package static func format(_ bytes: Int) -> String {
        for unit in units.prefix(3) where bytes >= Int(unit.bytes) && bytes % Int(unit.bytes) == 0 {
            return "\(bytes / Int(unit.bytes))\(unit.suffix)"
        }
        return "\(bytes)"
    }
}

private enum Decimal {
    /// `1.5` times the scale, exactly; nil when the text is no number, the result is no whole number or it overflows.
    static func scaled(_ text: Substring, by scale: Int64) -> Int64? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let whole = Int64(parts[0]) else { return nil }
        let (base, overflow) = whole.multipliedReportingOverflow(by: scale)
        guard !overflow else { return nil }
        guard parts.count == 2 else { return base }
        guard let digits = Int64(parts[1]), parts[1].count <= 9 else { return nil }
        let divisor = (0..<parts[1].count).reduce(Int64(1)) { power, _ in power * 10 }
        let (product, tooBig) = digits.multipliedReportingOverflow(by: scale)
        guard !tooBig, product % divisor == 0 else { return nil }
        let (sum, over) = base.addingReportingOverflow(product / divisor)
        return over ? nil : sum
    }
}

extension ScalarType where Value == Duration {
    package static func duration(_ range: ClosedRange<Duration>) -> ScalarType {
        ScalarType("a duration from \(DurationText.format(range.lowerBound)) to \(DurationText.format(range.upperBound)), as 5s or 250ms") {
            (scalar) throws(Mismatch) in
            guard let value = DurationText.parse(scalar.text) else {
                throw Mismatch(hint: Int64(scalar.text) == nil ? nil : "give the unit: \(scalar.text)s or \(scalar.text)ms")
            }
            guard range.contains(value) else { throw Mismatch() }
            return value
        }
    }
}

extension ScalarType where Value == Int {
    /// A number of bytes.
    package static func size(_ range: ClosedRange<Int>) -> ScalarType {
        ScalarType("a size from \(SizeText.format(range.lowerBound)) to \(SizeText.format(range.upperBound)), as 64KiB") {
            (scalar) throws(Mismatch) in
            guard let value = SizeText.parse(scalar.text) else {
                let folded = scalar.text.lowercased()
                for (short, unit) in [("k", "KiB"), ("m", "MiB"), ("g", "GiB")] where folded.hasSuffix(short) {
                    throw Mismatch(hint: "write \(scalar.text.dropLast())\(unit)")
                }
                throw Mismatch()
            }
            guard range.contains(value) else { throw Mismatch() }
            return value
        }
    }
}
