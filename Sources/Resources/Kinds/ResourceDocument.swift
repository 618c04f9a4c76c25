import MeshModel
import Settings
import YAML

/// One resource as a person writes it: `apiVersion`, `kind`, `metadata` and `spec`.
package struct ResourceDocument: Sendable {
    package let key: ResourceKey
    package let value: ResourceValue
    /// What travels and is stored: the document in one form, without comments and `metadata.resourceVersion`.
    package let text: String
    /// `metadata.resourceVersion`: the version that it is to replace.
    package let expected: ResourceVersion?
    package let mark: Mark

    /// Reads any number of documents. Throws everything that is wrong at once.
    ///
    /// - Parameters:
    ///   - path: named in errors.
    ///   - namespace: for documents of a namespaced kind that name none.
    package static func read(_ text: String, path: String, namespace: String) throws(ConfigurationErrors) -> [ResourceDocument] {
        let diagnostics = Diagnostics(path: path)
        var result: [ResourceDocument] = []
        var seen: [ResourceKey: Mark] = [:]
        for node in YAMLParser.documents(in: text, diagnostics) where !node.isNull {
            guard let document = read(node, diagnostics, namespace: namespace) else { continue }
            if let other = seen.updateValue(document.mark, forKey: document.key) {
                diagnostics.report(document.mark, "\(document.key) is in this file already, at line \(other.line)")
            }
            result.append(document)
        }
        guard diagnostics.isEmpty else { throw ConfigurationErrors(diagnostics) }
        return result
    }

    private static func read(_ node: Node, _ diagnostics: Diagnostics, namespace: String) -> ResourceDocument? {
        MappingDecoder.decode(node, diagnostics) { root in
            let apiVersion = root.required("apiVersion", .text)
            let name = root.required("kind", .text)
            let kind = apiVersion.flatMap { apiVersion in name.flatMap { find($0, apiVersion, root) } }
            let metadata = root.section("metadata") { Metadata($0) }
            guard let kind else {
                _ = root.node("spec")
                return nil
            }
            if metadata.namespace != nil, !kind.isNamespaced { root.report("metadata", "names a namespace, and a \(kind.name) is of the whole mesh") }
            let place = kind.isNamespaced ? metadata.namespace ?? namespace : ""
            guard let name = metadata.name, let key = ResourceKey(kind: kind.name, group: kind.group, namespace: place, name: name) else {
                _ = root.node("spec")
                return nil
            }
            if root.node("spec") == nil { root.report("spec", "is missing") }
            guard let value = root.section("spec", { kind.read($0, key) }) else { return nil }
            return ResourceDocument(
                key: key, value: value, text: form(node, namespace: place, version: nil).rendered(), expected: metadata.version, mark: node.mark)
        }
    }

    private static func find(_ name: String, _ apiVersion: String, _ root: MappingDecoder) -> ResourceKind? {
        guard let kind = ResourceKind.all.first(where: { $0.name == name }) else {
            let names = ResourceKind.all.map(\.name)
            let hint = Suggestion.nearest(to: name, among: names).map { "did you mean `\($0)`?" } ?? "known are: \(names.joined(separator: ", "))"
            root.report("kind", "is `\(name.prefix(80))`, which this version of Weft does not know; \(hint)")
            return nil
        }
        let versions = kind.versions.map { "\(kind.group)/\($0)" }
        guard versions.contains(apiVersion) else {
            root.report("apiVersion", "is `\(apiVersion.prefix(80))`; a \(kind.name) is of `\(versions.joined(separator: "` or `"))`")
            return nil
        }
        return kind
    }

    private struct Metadata {
        var name: String?
        var namespace: String?
        var version: ResourceVersion?

        init(_ mapping: MappingDecoder) {
            name = mapping.required(
                "name", ScalarType<String>.text.checked("a DNS name (lower case letters, digits, hyphens and dots, at most 253)", ResourceKey.isName))
            namespace = mapping.optional("namespace", .label)
            version = mapping.optional("resourceVersion", ScalarType("a version as `weft get` shows it", parse: ResourceVersion.init))
            _ = mapping.dictionary("labels", keys: .labelText, .labelText)
            _ = mapping.dictionary("annotations", keys: .labelText, .anyText)
        }
    }

    // MARK: Writing

    /// The document with its namespace, and with a version when there is one.
    private static func form(_ node: Node, namespace: String, version: ResourceVersion?) -> Output {
        guard case .mapping(let pairs) = Output(node) else { return Output(node) }
        return .mapping(
            pairs.map { pair in
                guard pair.key == "metadata", case .mapping(let inner) = pair.value else { return pair }
                var fields = inner.filter { $0.key != "resourceVersion" }
                if !namespace.isEmpty, !fields.contains(where: { $0.key == "namespace" }) {
                    fields.insert(.init("namespace", .text(namespace)), at: fields.firstIndex { $0.key == "name" }.map { $0 + 1 } ?? 0)
                }
                if let version { fields.append(.init("resourceVersion", .text(version.description))) }
                return .init("metadata", .mapping(fields))
            })
    }

    /// A stored document for people: with the version to apply a change of it against.
    package static func shown(_ write: ResourceWrite) -> String {
        let text = String(decoding: write.payload ?? [], as: UTF8.self)
        let nodes = YAMLParser.documents(in: text, Diagnostics(path: ""))
        return nodes.first.map { form($0, namespace: write.key.namespace, version: write.version).rendered() } ?? text
    }
}
