import YAML

extension MappingDecoder {
    /// The list of namespaces with limits of their own under `key`, each once.
    func namespaceLimits(_ key: String, defaults: NamespaceLimitsSection) -> [NamedNamespaceLimits] {
        let found = list(key) { item -> NamedNamespaceLimits? in
            let name = item.required("name", .label)
            let limits = NamespaceLimitsSection.decode(item, defaults: defaults)
            return name.map { NamedNamespaceLimits(name: $0, limits: limits) }
        }
        var lines: [String: Int] = [:]
        for item in found {
            if let line = lines[item.value.name] { diagnostics.report(item.mark, "namespace `\(item.value.name)` is there already, on line \(line)") }
            lines[item.value.name] = item.mark.line
        }
        return found.map(\.value)
    }
}

extension NamespaceLimitsSection {
    static func decode(_ section: MappingDecoder, defaults: NamespaceLimitsSection) -> NamespaceLimitsSection {
        NamespaceLimitsSection(
            flows: section.value("flows", .integer(1...10_000_000), default: defaults.flows),
            newFlowsPerSecond: section.value("newFlowsPerSecond", .integer("a number from 0 (no limit) to 1000000", 0...1_000_000), default: defaults.newFlowsPerSecond),
            // Less could not hold what one flow may have to: 64 KiB in each direction, and its window.
            memory: section.value("memory", .size((1 << 20)...(1 << 40)), default: defaults.memory))
    }
}
