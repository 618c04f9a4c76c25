import FoundationEssentials
import MeshModel

/// JSON for state files and messages: sorted keys, so that files can be compared.
package enum StateJSON {
    package static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return [UInt8](try encoder.encode(value))
    }

    package static func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8]) throws -> T {
        try JSONDecoder().decode(type, from: Data(bytes))
    }

    private struct Versioned<T: Codable>: Codable {
        var version: Int
        var content: T
    }
    private struct Version: Decodable { var version: Int }

    /// A state file's content: `{"content": …, "version": n}`.
    static func file<T: Codable>(_ content: T, version: Int) throws(MeshError) -> [UInt8] {
        do {
            return try encode(Versioned(version: version, content: content))
        } catch {
            throw MeshError(.internal, code: "state_encode", "cannot write down \(T.self): \(error)")
        }
    }

    static func content<T: Codable>(_ type: T.Type, of bytes: [UInt8], version: Int, path: String) throws(MeshError) -> T {
        guard let found = try? decode(Version.self, from: bytes) else { throw .corrupt(path, "it is no JSON with a version") }
        guard found.version <= version else {
            throw MeshError(
                .configuration, code: "state_version", "\(path) has format \(found.version), and this version of Weft reads up to \(version)",
                remedy: "start the version that wrote it, or a newer one")
        }
        do {
            return try decode(Versioned<T>.self, from: bytes).content
        } catch {
            throw .corrupt(path, "\(error)")
        }
    }
}
