import MeshModel
import Platform
import YAML

extension MappingDecoder {
    /// The list of explicit listeners under `key`: unique addresses, and workloads that exist.
    package func listeners(_ key: String, workloads: [Workload]) -> [ListenerDeclaration] {
        let found = list(key) { ListenerDeclaration.decode($0, workloads: workloads) }
        var lines: [SocketAddress: Int] = [:]
        for item in found {
            if let line = lines[item.value.address] {
                diagnostics.report(item.mark, "listener `\(item.value.address)` is there already, on line \(line)")
            }
            lines[item.value.address] = item.mark.line
        }
        return found.map(\.value)
    }
}

extension ListenerDeclaration {
    fileprivate static func decode(_ item: MappingDecoder, workloads: [Workload]) -> ListenerDeclaration? {
        let address = item.required("address", .loopbackSocketAddress)
        let destination = item.required("to", .destination)
        let workload = item.required("workload", .label)
        if let workload, !workloads.contains(where: { $0.name == workload }) {
            let names = workloads.map { "`\($0.name)`" }.joined(separator: ", ")
            item.report("workload", "names no workload of this node\(names.isEmpty ? "; `workloads` is empty" : " (there are \(names))")")
        }
        guard let address, let destination, let workload else { return nil }
        return ListenerDeclaration(address: address, destination: destination, workload: workload)
    }
}

extension ScalarType where Value == SocketAddress {
    fileprivate static var loopbackSocketAddress: ScalarType {
        socketAddress.checked("a loopback address and a port, as 127.0.0.1:9001 (who can connect there calls as the workload)") { $0.ip.isLoopback }
    }
}

extension ScalarType where Value == ListenerDeclaration.Destination {
    fileprivate static var destination: ScalarType {
        ScalarType("a service and its port, as reviews.default:9080, or an address and a port") { text in
            if let address = SocketAddress(text) { return address.port == 0 ? nil : .address(address) }
            guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port != 0 else { return nil }
            let name = String(text[..<colon])
            return (ServiceName(name) ?? ServiceName(name, namespace: "default")).map { .service($0, port: port) }
        }
    }
}
