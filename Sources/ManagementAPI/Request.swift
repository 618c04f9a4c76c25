/// A request's JSON body. A key that is not among `CodingKeys` is refused, so that a misspelt option is never ignored.
package protocol APIRequest: Codable, Sendable, Equatable {
    associatedtype CodingKeys: CodingKey & CaseIterable
}

extension KeyedDecodingContainer {
    /// A whole number, or nil when the field is left out. Unlike the decoder's own refusal, this one names the field.
    func whole<T: FixedWidthInteger>(_ type: T.Type = T.self, forKey key: Key) throws -> T? {
        guard let number = try decodeIfPresent(Double.self, forKey: key) else { return nil }
        guard let value = T(exactly: number) else {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: "it must be a whole number from \(T.min) to \(T.max)")
        }
        return value
    }

    func requiredWhole<T: FixedWidthInteger>(_ type: T.Type = T.self, forKey key: Key) throws -> T {
        guard let value = try whole(T.self, forKey: key) else {
            throw DecodingError.keyNotFound(key, .init(codingPath: codingPath, debugDescription: ""))
        }
        return value
    }
}
