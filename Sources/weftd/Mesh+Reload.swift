import Capture
import Catalog
import MeshModel
import Naming
import Proxy
import Settings

/// Taking over what a running agent can.
extension Mesh {
    /// Keys whose new values come into force without a restart. Everything else says so in the reload's report.
    static func reloadable(_ key: String) -> Bool {
        ["workloads", "accessLog", "dns.upstreams", "dns.ttl", "limits.namespace"].contains { key.hasPrefix($0) }
    }

    /// Workloads, services, DNS, the access log and the limits of namespaces of a new configuration. After an error nothing has changed.
    func reload(_ fresh: LoadedConfiguration, changes: ConfigurationChanges) throws(MeshError) {
        let (oldWorkloads, oldDeclarations) = (workloads, declarations)
        workloads = fresh.configuration.workloads
        declarations = fresh.services
        do throws(MeshError) {
            try capture.setWorkloads(workloads)
            try declare()
        } catch {
            workloads = oldWorkloads
            declarations = oldDeclarations
            try capture.setWorkloads(workloads)
            try declare()
            throw error
        }
        if changes.reloadable.contains(where: { $0.hasPrefix("accessLog") }) { accessLog = AccessLog(fresh.configuration.accessLog, names: names) }
        dns.reconfigure(upstreams: fresh.configuration.dns.upstreams, ttl: fresh.configuration.dns.ttl)
        let limits = fresh.configuration.namespaceLimits
        proxy.tenants.setLimits(limits.every, exceptions: limits.exceptions)
        ensureIdentities()
        changed(atOnce: true)
    }
}
