import MeshModel
import Platform
import YAML

extension ServiceDeclaration {
    /// Reads one file of any number of documents. Throws everything that is wrong at once.
    ///
    /// - Parameter workloads: this node's; a declaration that names another is refused. Nil leaves that unchecked.
    package static func parse(_ text: String, path: String, workloads: [Workload]? = nil) throws(ConfigurationErrors) -> [ServiceDeclaration] {
        try parse(files: [(path, text, ExecCheck.obstacle(declaredIn: path))], workloads: workloads)
    }

    /// Reads all `*.yaml` and `*.yml` files of a directory, in the order of their names; none when it does not exist.
    package static func load(directory: String, workloads: [Workload]? = nil) throws(ConfigurationErrors) -> [ServiceDeclaration] {
        var files: [(String, String, String?)] = []
        for path in try TextFile.list(directory: directory) {
            files.append((path, try TextFile.read(path), ExecCheck.obstacle(declaredIn: path) ?? RootOwned.obstacle(path)))
        }
        return try parse(files: files, workloads: workloads)
    }

    /// - Parameter files: with the reason why each may not name programs to run, nil when it may.
    private static func parse(
        files: [(path: String, text: String, execObstacle: String?)], workloads: [Workload]?
    ) throws(ConfigurationErrors) -> [ServiceDeclaration] {
        var result: [ServiceDeclaration] = []
        var errors: [Diagnostic] = []
        var dropped = 0
        // The same instance twice would make two endpoints of one.
        var seen: [Instance: String] = [:]
        for (path, text, execObstacle) in files {
            let diagnostics = Diagnostics(path: path)
            for document in YAMLParser.documents(in: text, diagnostics) where !document.isNull {
                guard let declaration = MappingDecoder.decode(document, diagnostics, { decode($0, workloads, execObstacle: execObstacle) }) else { continue }
                let place = "\(path):\(document.mark.line)"
                if let other = seen.updateValue(place, forKey: Instance(declaration)) {
                    diagnostics.report(
                        document.mark,
                        "service `\(declaration.service)` of `\(declaration.workload)` on port \(declaration.port) is declared already, at \(other)"
                    )
                }
                result.append(declaration)
            }
            errors += diagnostics.sorted
            dropped += diagnostics.dropped
        }
        guard errors.isEmpty else { throw ConfigurationErrors(errors, dropped: dropped) }
        return result
    }

    /// Reads one declaration; nil when a required key is missing or wrong (which is told).
    ///
    /// - Parameter execObstacle: why it may not name a program to run; nil when it may.
    package static func decode(_ root: MappingDecoder, _ workloads: [Workload]?, execObstacle: String?) -> ServiceDeclaration? {
        let name = root.required("service", .label)
        let workload = root.required("workload", .label)
        let owner = workloads?.first { $0.name == workload }
        // A workload serves its own namespace unless the file says otherwise.
        let namespace = root.value("namespace", .label, default: owner?.namespace ?? "default")
        let port = root.required("port", .port)
        let targetPort = root.optional("targetPort", .port)
        let address = root.optional(
            "address", ScalarType<IPAddress>.address.checked("an address of this host") { !$0.isUnspecified && !$0.isMulticast })
        let version = root.value("version", .labelText, default: "")
        let weight = root.value("weight", ScalarType<UInt32>.integer(1...1_000_000), default: 1)
        let labels = root.dictionary("labels", keys: .labelText.checked("a label's name") { !$0.isEmpty }, .labelText)
        let check: HealthCheck? = root.section("check") { HealthCheck.decode($0, execObstacle: execObstacle) }

        if labels.count > 32 { root.report("labels", "has \(labels.count) entries; at most 32 travel with an endpoint") }
        if let workload, let workloads, owner == nil {
            let hint =
                Suggestion.nearest(to: workload, among: workloads.map(\.name)).map { ", did you mean `\($0)`?" }
                ?? "; declare it under `workloads` in weft.yaml"
            root.report("workload", "names `\(workload)`, which is no workload of this node\(hint)")
        }
        guard let name, let workload, let port, let service = ServiceName(name, namespace: namespace) else { return nil }
        var result = ServiceDeclaration(service: service, port: port, workload: workload)
        result.targetPort = targetPort ?? port
        result.address = address
        result.version = version
        result.weight = weight
        result.labels = labels
        result.check = check
        return result
    }

    private struct Instance: Hashable {
        let service: ServiceName
        let port: UInt16
        let workload: String
        let address: IPAddress?
        let targetPort: UInt16
        init(_ declaration: ServiceDeclaration) {
            service = declaration.service
            port = declaration.port
            workload = declaration.workload
            address = declaration.address
            targetPort = declaration.targetPort
        }
    }
}

extension ServiceDeclaration {
    /// The declaration as one YAML document, as `weft service register` keeps it; `parse` reads it back to an equal value.
    package func rendered() -> String {
        return Output.section(
            ("service", .text(service.name)), ("namespace", .text(service.namespace)), ("port", .number(port)), ("workload", .text(workload)),
            ("targetPort", .number(targetPort)), ("address", address.map { .text("\($0)") }), ("version", .text(version)),
            ("weight", .number(weight)),
            ("labels", .mapping(labels.sorted { $0.key < $1.key }.map { Output.Pair($0.key, .text($0.value)) })), ("check", HealthCheck.rendered(check))
        ).rendered()
    }
}
