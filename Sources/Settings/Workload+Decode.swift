import MeshModel
import Platform
import YAML

extension MappingDecoder {
    /// The list of workloads under `key`, with unique names.
    package func workloads(_ key: String) -> [Workload] {
        let found = list(key, Workload.decode)
        var lines: [String: Int] = [:]
        var selectors: [Workload.Selector: String] = [:]
        for item in found {
            let workload = item.value
            if let line = lines[workload.name] {
                diagnostics.report(item.mark, "workload `\(workload.name)` is there already, on line \(line); names are unique on a node")
            } else if let other = selectors[workload.selector] {
                diagnostics.report(
                    item.mark, "workload `\(workload.name)` selects \(workload.selector), as `\(other)` does; a process has one identity")
            }
            lines[workload.name] = item.mark.line
            selectors[workload.selector] = workload.name
        }
        return found.map(\.value)
    }
}

extension Workload {
    /// Reads one workload; nil when something is wrong (which is told).
    package static func decode(_ item: MappingDecoder) -> Workload? {
        let name = item.required("name", .label)
        let namespace = item.value("namespace", .label, default: "default")
        let account = item.optional("account", .segment)
        let unit = item.optional("unit", .unit)
        let slice = item.optional("slice", .slice)
        let cgroup = item.optional("cgroup", .cgroup)
        let allowDelegated = item.value("allowDelegated", .bool, default: false)

        let written = ["unit", "slice", "cgroup"].filter(item.has)
        if written.count != 1 {
            let problem =
                written.isEmpty
                ? "needs one of `unit`, `slice` or `cgroup`" : "has \(written.map { "`\($0)`" }.joined(separator: " and ")); exactly one selects it"
            item.diagnostics.report(written.isEmpty ? item.mark : item.mark(of: written[1]), "`\(item.keyPath)` \(problem)")
        }
        guard let name, let selector = unit.map(Selector.unit) ?? slice.map(Selector.slice) ?? cgroup.map(Selector.cgroup) else { return nil }
        return Workload(name: name, namespace: namespace, account: account ?? name, selector: selector, allowDelegated: allowDelegated)
    }
}

extension ScalarType where Value == String {
    /// A service's or scope's name; a bare name means the service, as with systemctl.
    static var unit: ScalarType {
        glob("a unit, as reviews.service or worker@*.service") { (text) throws(Mismatch) in
            if text.contains("/") { throw Mismatch(hint: "a path belongs under `cgroup`") }
            if text.hasSuffix(".slice") { throw Mismatch(hint: "a slice belongs under `slice`") }
            for other in [".socket", ".timer", ".target", ".mount", ".path", ".device", ".swap", ".automount"] where text.hasSuffix(other) {
                throw Mismatch(hint: "a \(other.dropFirst()) runs no processes; name its service")
            }
            if text.hasSuffix(".service") || text.hasSuffix(".scope") { return text }
            return text + ".service"
        }
    }
    static var slice: ScalarType {
        glob("a slice, as shop.slice") { (text) throws(Mismatch) in
            if text.contains("/") { throw Mismatch(hint: "a path belongs under `cgroup`") }
            if text == "-.slice" { throw Mismatch(hint: "the root slice is the whole host; select what should be captured") }
            guard text.hasSuffix(".slice") else { throw Mismatch(hint: text.contains(".") ? nil : "write \(text).slice") }
            return text
        }
    }
    static var cgroup: ScalarType {
        glob("a path below the cgroup mount, as /shop.slice/web.service") { (text) throws(Mismatch) in
            for mount in ["/sys/fs/cgroup/unified/", "/sys/fs/cgroup/"] where text.hasPrefix(mount) {
                throw Mismatch(hint: "leave the mount out: /\(text.dropFirst(mount.count))")
            }
            guard text.hasPrefix("/") else { throw Mismatch(hint: "begin it with /") }
            if text == "/" { throw Mismatch(hint: "the root is the whole host; select what should be captured") }
            let path = text.hasSuffix("/") ? String(text.dropLast()) : text
            let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            if segments.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) { throw Mismatch(hint: "no empty, `.` or `..` segments") }
            return path
        }
    }

    private static func glob(_ expected: String, _ shape: @escaping (String) throws(Mismatch) -> String) -> ScalarType {
        ScalarType(expected) { (scalar) throws(Mismatch) in
            guard !scalar.text.isEmpty, scalar.text.utf8.count < 1024, !scalar.text.unicodeScalars.contains(where: { $0.value <= 0x20 }) else {
                throw Mismatch()
            }
            let text = try shape(scalar.text)
            if let problem = Glob.problem(text) { throw Mismatch(hint: "it \(problem)") }
            return text
        }
    }
}
