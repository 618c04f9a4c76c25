import FoundationEssentials

/// JSON as the API speaks it: keys sorted, so that the same value is always the same text; nothing unknown accepted in a request.
package enum APIJSON {
    /// - Parameter pretty: over several lines, for people.
    package static func encode(_ value: some Encodable, pretty: Bool = false) throws(APIError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = pretty ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted] : [.sortedKeys, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(value)) } catch {
            throw APIError(.failed, code: "encoding", "the answer cannot be written as JSON: \(error)")
        }
    }

    /// Reads a request's body. An empty body is an empty object.
    /// - Throws: `invalid`, naming the field that is wrong and, for an unknown one, the nearest that exists.
    package static func decodeRequest<R: APIRequest>(_ type: R.Type, from bytes: [UInt8]) throws(APIError) -> R {
        let data = bytes.isEmpty ? Data("{}".utf8) : Data(bytes)
        let decoder = JSONDecoder()
        do {
            let keys = try decoder.decode(KeyNames.self, from: data).names
            let known = R.CodingKeys.allCases.map(\.stringValue)
            for key in keys.sorted() where !known.contains(key) {
                throw unknownField(key, known: known)
            }
            return try decoder.decode(R.self, from: data)
        } catch let error as APIError {
            throw error
        } catch {
            throw explain(error)
        }
    }

    /// Reads an answer; fields that this version does not know are ignored, since the agent may be newer.
    package static func decodeAnswer<A: Decodable>(_ type: A.Type, from bytes: [UInt8]) throws(APIError) -> A {
        do { return try JSONDecoder().decode(A.self, from: Data(bytes)) } catch {
            throw APIError(
                .failed, code: "bad_answer", "the agent's answer cannot be read: \(explain(error).message)",
                remedy: "compare `weft --version` with `weft version`: agent and command line should be of one version", source: "internal")
        }
    }

    /// The keys of an object, whatever their values are.
    private struct KeyNames: Decodable {
        struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }
        var names: [String]
        init(from decoder: any Decoder) throws { names = try decoder.container(keyedBy: Key.self).allKeys.map(\.stringValue) }
    }

    private static func unknownField(_ key: String, known: [String]) -> APIError {
        let shown = String(key.prefix(64))
        let hint = Suggestion.nearest(to: key, among: known).map { "did you mean \"\($0)\"?" } ?? "known fields: \(known.joined(separator: ", "))"
        return APIError(.invalid, code: "unknown_field", "there is no field \"\(shown)\" in this request", remedy: hint, source: "client")
    }

    private static func explain(_ error: any Error) -> APIError {
        func invalid(_ message: String) -> APIError {
            APIError(
                .invalid, code: "invalid_body", message, remedy: "Documentation/openapi.yaml has each request's fields", source: "client")
        }
        func name(_ path: [any CodingKey]) -> String { path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".") }
        guard let error = error as? DecodingError else { return invalid("the body cannot be read: \(error)") }
        switch error {
        case .keyNotFound(let key, _): return invalid("the field \"\(key.stringValue)\" is missing")
        case .valueNotFound(_, let context): return invalid("the field \"\(name(context.codingPath))\" is null")
        case .typeMismatch(let type, let context):
            return invalid(
                context.codingPath.isEmpty ? "the body is not a JSON object" : "the field \"\(name(context.codingPath))\" is not \(plain(type))")
        case .dataCorrupted(let context):
            let cause = context.underlyingError.map { String(describing: $0) } ?? context.debugDescription
            return invalid(
                context.codingPath.isEmpty ? "the body is not valid JSON: \(cause)" : "the field \"\(name(context.codingPath))\" is wrong: \(cause)")
        @unknown default: return invalid("the body cannot be read")
        }
    }

    private static func plain(_ type: Any.Type) -> String {
        switch type {
        case is String.Type: "a text"
        case is Bool.Type: "true or false"
        case is [String].Type, is [Any].Type: "a list"
        case is any FixedWidthInteger.Type: "a whole number"
        case is [String: String].Type, is [String: Any].Type: "an object"
        default: "of the right type"
        }
    }
}
