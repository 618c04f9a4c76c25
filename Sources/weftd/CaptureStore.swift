import Identity
import MeshModel

/// Captures that were added with `weft capture add`, on disk so that they outlive the agent: `captures.json` in the state directory.
struct CaptureStore {
    private struct Entry: Codable {
        var name: String
        var namespace: String
        var account: String
        var kind: String
        var selector: String
        var allowDelegated: Bool
    }
    private struct File: Codable {
        var version: Int
        var captures: [Entry]
    }
    let path: String

    func load() throws(MeshError) -> [Workload] {
        guard let bytes = try AtomicFile.read(path, secret: false) else { return [] }
        let file: File
        do {
            file = try StateJSON.decode(File.self, from: bytes)
        } catch {
            throw MeshError(
                .configuration, code: "captures_file", "\(path) cannot be read: \(error)",
                remedy: "move it away and add the captures again with `weft capture add`")
        }
        return file.captures.map { entry in
            let selector: Workload.Selector =
                switch entry.kind {
                case "slice": .slice(entry.selector)
                case "cgroup": .cgroup(entry.selector)
                default: .unit(entry.selector)
                }
            return Workload(
                name: entry.name, namespace: entry.namespace, account: entry.account, selector: selector, allowDelegated: entry.allowDelegated)
        }
    }

    func save(_ workloads: [Workload]) throws(MeshError) {
        let entries = workloads.map { workload in
            let (kind, selector) = workload.selector.parts
            return Entry(
                name: workload.name, namespace: workload.namespace, account: workload.account, kind: kind, selector: selector,
                allowDelegated: workload.allowDelegated)
        }
        let bytes: [UInt8]
        do {
            bytes = try StateJSON.encode(File(version: 1, captures: entries))
        } catch {
            throw MeshError(.internal, code: "captures_file", "the captures cannot be written: \(error)")
        }
        try AtomicFile.write(bytes, to: path, mode: 0o600)
    }
}

extension Workload.Selector {
    /// The word for its kind, and what it selects.
    var parts: (kind: String, text: String) {
        switch self {
        case .unit(let name): ("unit", name)
        case .slice(let name): ("slice", name)
        case .cgroup(let path): ("cgroup", path)
        }
    }
}
