/// Builds the Prometheus text exposition format, version 0.0.4.
///
/// Families are written in the order in which they are added; all samples of one family stand together, as the format demands.
package struct PrometheusText {
    package enum Kind: String { case counter, gauge }

    package private(set) var text = ""

    package init() {}

    /// One family with its samples. Families without samples are left out.
    /// - Parameters:
    ///   - name: with the `weft_` prefix and the unit, counters ending in `_total`.
    ///   - samples: label pairs in a fixed order, and the value.
    package mutating func family(_ name: String, _ kind: Kind, help: String, _ samples: [(labels: [(String, String)], value: Double)]) {
        if samples.isEmpty { return }
        header(name, kind, help)
        for sample in samples { line(name, sample.labels, sample.value) }
    }

    /// One family with one sample and no labels.
    package mutating func single(_ name: String, _ kind: Kind, help: String, _ value: Double) {
        family(name, kind, help: help, [([], value)])
    }

    private mutating func header(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }

    private mutating func line(_ name: String, _ labels: [(String, String)], _ value: Double) {
        text += name
        if !labels.isEmpty {
            text += "{"
            for (index, label) in labels.enumerated() {
                if index > 0 { text += "," }
                text += "\(label.0)=\"\(Self.escape(label.1))\""
            }
            text += "}"
        }
        text += " \(Self.number(value))\n"
    }

    /// Label values escape backslash, double quote and line feed.
    private static func escape(_ value: String) -> String {
        guard value.utf8.contains(where: { $0 == 0x22 || $0 == 0x5c || $0 == 0x0a }) else { return value }
        var result = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }

    private static func number(_ value: Double) -> String {
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        return value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : "\(value)"
    }
}
