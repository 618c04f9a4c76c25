import MeshModel
import Settings
import YAML

extension ResourceKind {
    /// Istio's DestinationRule: its `subsets`. What else it may say is refused until Weft acts on it.
    static let destinationRule = ResourceKind(
        name: "DestinationRule", group: "networking.istio.io", versions: ["v1", "v1beta1", "v1alpha3"], isNamespaced: true,
        aliases: ["destinationrules", "dr"], read: read(destinationRule:of:))

    @Sendable
    private static func read(destinationRule spec: MappingDecoder, of key: ResourceKey) -> ResourceValue? {
        let host = spec.required("host", .text)
        let service = host.flatMap { self.service(host: $0, in: key.namespace, spec) }
        let subsets: [Located<SubsetRule>] = spec.list("subsets") { subset($0) }
        notYet(spec, ["trafficPolicy", "exportTo", "workloadSelector"])
        if subsets.count > Subset.perService {
            spec.report("subsets", "has \(subsets.count) entries; at most \(Subset.perService) of a service get a name")
        }
        var seen: Set<String> = []
        for subset in subsets where !seen.insert(subset.value.name).inserted {
            spec.diagnostics.report(subset.mark, "subset `\(subset.value.name)` is written twice")
        }
        return service.map { ResourceValue.destinationRule(DestinationRule(service: $0, subsets: subsets.map(\.value))) }
    }

    private static func subset(_ subset: MappingDecoder) -> SubsetRule? {
        let name = subset.required("name", .label)
        let labels = subset.dictionary("labels", keys: ScalarType<String>.labelText.checked("a label's name") { !$0.isEmpty }, .labelText)
        if labels.isEmpty, !subset.has("labels") { subset.report("labels", "is missing; it must name the labels of the subset's endpoints") }
        if labels.count > 32 { subset.report("labels", "has \(labels.count) entries; at most 32 travel with an endpoint") }
        notYet(subset, ["trafficPolicy"])
        return name.map { SubsetRule(name: $0, labels: labels) }
    }

    /// `reviews`, `reviews.shop`, `reviews.shop.svc` and `reviews.shop.svc.cluster.local` are one service.
    private static func service(host: String, in namespace: String, _ spec: MappingDecoder) -> ServiceName? {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        let tails = [[], ["svc"], ["svc", "cluster", "local"]]
        let service =
            parts.count == 1
            ? ServiceName(host, namespace: namespace)
            : tails.contains(Array(parts.dropFirst(2))) ? ServiceName(parts[0], namespace: parts[1]) : nil
        guard let service else {
            spec.report("host", "must be the name of a service, as `reviews`, `reviews.shop` or `reviews.shop.svc.cluster.local`, not \"\(host.prefix(80))\"")
            return nil
        }
        guard service.namespace == namespace else {
            spec.report("host", "names a service of namespace `\(service.namespace)`, and the rule is in `\(namespace)`: write it there")
            return nil
        }
        return service
    }

    private static func notYet(_ mapping: MappingDecoder, _ keys: [String]) {
        for key in keys where mapping.node(key) != nil {
            mapping.report(key, "is not acted on by this version of Weft, and is refused rather than ignored; leave it out")
        }
    }
}
