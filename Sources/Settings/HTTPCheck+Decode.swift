import YAML

extension HTTPCheck {
    /// A path alone, or a mapping.
    static func decode(_ parent: MappingDecoder, _ key: String) -> HTTPCheck? {
        guard let node = parent.node(key) else { return nil }
        if case .scalar = node.content { return parent.optional(key, .requestPath).map(HTTPCheck.init(path:)) }
        return parent.optionalSection(key) { section in
            var result = HTTPCheck(path: section.value("path", .requestPath, default: "/"))
            result.host = section.optional("host", .authority)
            let statuses = section.list("status", .statuses)
            let headers = section.dictionary("headers", keys: .fieldName, .fieldValue)
            result.body = section.optional("body", .bodyText)
            if !statuses.isEmpty { result.statuses = statuses }
            for (name, value) in headers { result.headers[name.lowercased()] = value }
            if statuses.count > maximumRanges { section.report("status", "has \(statuses.count) entries; at most \(maximumRanges) are looked at") }
            if result.headers.count > maximumHeaders {
                section.report("headers", "has \(result.headers.count) entries; at most \(maximumHeaders) are looked at")
            }
            return result
        }
    }

    func rendered() -> Output {
        .section(
            ("path", .text(path)), ("host", host.map { .text($0) }), ("status", .list(statuses.map { .text(Self.text($0)) })),
            ("headers", headers.isEmpty ? nil : .mapping(headers.sorted { $0.key < $1.key }.map { Output.Pair($0.key, .text($0.value)) })),
            ("body", body.map { .text($0) }))
    }

    /// `200-299`, `304`.
    package static func text(_ range: ClosedRange<UInt16>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }

    package static func isPath(_ text: String) -> Bool {
        text.hasPrefix("/") && text.utf8.count <= maximumPath && text.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "#") }
    }
}

extension ScalarType where Value == ClosedRange<UInt16> {
    fileprivate static var statuses: ScalarType {
        ScalarType("a status or a range of them, as 204 or 200-299") { text in
            let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { UInt16($0) }
            guard let low = ends.first ?? nil, let high = ends.last ?? nil, low <= high, low >= 100, high <= 599 else { return nil }
            return low...high
        }
    }
}

extension ScalarType where Value == String {
    fileprivate static var requestPath: ScalarType {
        ScalarType("a path from the root, as /healthz (at most \(HTTPCheck.maximumPath) printable ASCII characters)") { HTTPCheck.isPath($0) ? $0 : nil }
    }
    fileprivate static var authority: ScalarType {
        ScalarType("a host name, with a port or without") { text in
            let allowed = text.utf8.allSatisfy { byte in
                (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || Array("-._:[]".utf8).contains(byte)
            }
            return !text.isEmpty && text.utf8.count <= 255 && allowed ? text : nil
        }
    }
    /// A token (RFC 9110 section 5.6.2).
    fileprivate static var fieldName: ScalarType {
        ScalarType("a field's name, as X-Ready") { text in
            let allowed = text.utf8.allSatisfy { byte in
                (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || Array("!#$%&'*+-.^_`|~".utf8).contains(byte)
            }
            return !text.isEmpty && text.utf8.count <= 128 && allowed ? text : nil
        }
    }
    fileprivate static var fieldValue: ScalarType {
        ScalarType("a field's value of at most 256 printable characters, no spaces around") { text in
            let bytes = Array(text.utf8)
            guard bytes.count <= 256, !bytes.contains(where: { $0 < 32 || $0 == 127 }), bytes.first != 32, bytes.last != 32 else { return nil }
            return text
        }
    }
    fileprivate static var bodyText: ScalarType {
        ScalarType("a text of 1 to \(HTTPCheck.maximumBody) bytes") { text in (1...HTTPCheck.maximumBody).contains(text.utf8.count) ? text : nil }
    }
}
