import MeshModel
import Platform
import Settings

extension Catalog {
    /// The instance of this node that a heartbeat is for; its check is `ttl`.
    ///
    /// - Parameter address: which instance; nil when there is one only.
    package func heartbeatTarget(_ service: ServiceName, address: SocketAddress?) throws(MeshError) -> LocalStatus {
        let here = local.filter { $0.instance.service == service && (address == nil || $0.instance.address == address) }
        let matching = here.filter { if case .ttl = $0.instance.check.kind { true } else { false } }
        guard let target = matching.first else {
            throw MeshError(
                .configuration, code: here.isEmpty ? "service_not_found" : "check_kind",
                here.isEmpty
                    ? "this node has no such endpoint of \(service)"
                    : "\(service) on this node is not checked by heartbeats but by \(here[0].instance.check.kind?.word ?? "nothing")",
                remedy: here.isEmpty
                    ? "`weft services \(service)` shows where its endpoints are"
                    : "declare `check: {ttl: 30s}`, or register it with `--check ttl:30s`")
        }
        guard matching.count == 1 else {
            throw MeshError(
                .configuration, code: "several_endpoints", "this node has \(matching.count) endpoints of \(service), and a heartbeat is for one",
                remedy: "give its address: \(matching.map { "\($0.instance.address)" }.joined(separator: ", "))")
        }
        return target
    }

    /// An application's word on its own instance, and how that is then.
    package func heartbeat(_ target: LocalStatus, isPassing: Bool, note: String) -> LocalStatus {
        health.heartbeat(target.instance.id, isPassing ? .passed : .failed, note: note)
        return local.first { $0.instance.id == target.instance.id } ?? target
    }
}
