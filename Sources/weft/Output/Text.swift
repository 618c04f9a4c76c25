/// Numbers and names as people read them.
enum Text {
    /// Names come from other nodes: what could steer a terminal is shown as `?`.
    static func printable(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 32 || (127..<160).contains(scalar.value) || scalar.properties.isBidiControl
            result.append(isControl ? "?" : scalar)
        }
        return String(result)
    }

    /// The same of a text of several lines, which end in a newline.
    static func lines(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { printable(String($0)) }.joined(separator: "\n")
    }

    /// The two largest units of a time span, as `3h 12m`; negative ones count as their size.
    static func span(seconds: Int64) -> String {
        let total = seconds.magnitude
        let parts: [(UInt64, String)] = [(total / 86_400, "d"), (total / 3600 % 24, "h"), (total / 60 % 60, "m"), (total % 60, "s")]
        guard let first = parts.firstIndex(where: { $0.0 > 0 }) else { return "0s" }
        return parts[first...].prefix(2).filter { $0.0 > 0 }.map { "\($0.0)\($0.1)" }.joined(separator: " ")
    }

    /// A time from now, as `in 3h 12m` or `5m ago`.
    static func fromNow(seconds: Int64) -> String { seconds < 0 ? "\(span(seconds: seconds)) ago" : "in \(span(seconds: seconds))" }

    static func span(milliseconds: Int64) -> String {
        if milliseconds < 1000 { return "\(milliseconds)ms" }
        if milliseconds < 60_000 { return "\(milliseconds / 1000).\(milliseconds % 1000 / 100)s" }
        return span(seconds: milliseconds / 1000)
    }

    /// A number of bytes with one digit after the point, in powers of 1024.
    static func bytes(_ count: UInt64) -> String {
        guard count >= 1024 else { return "\(count)B" }
        var unit = 0
        var scaled = count
        while scaled >= 1024 * 1024, unit < 4 {
            scaled /= 1024
            unit += 1
        }
        return "\(scaled / 1024).\(scaled % 1024 * 10 / 1024)\(["K", "M", "G", "T", "P"][unit])iB"
    }

    static func count(_ number: Int, _ noun: String) -> String { number == 1 ? "1 \(noun)" : "\(number) \(noun)s" }

    /// "-" for nothing, so that a table's columns stay columns.
    static func orDash(_ text: String?) -> String { text.flatMap { $0.isEmpty ? nil : $0 } ?? "-" }
}
