import MeshModel
import Platform

/// A port of this host that leads to one destination, for callers that can't be captured: the explicit form of what capture does.
///
/// Whoever can connect to it calls as its workload, so it listens on loopback only.
package struct ListenerDeclaration: Hashable, Sendable {
    package enum Destination: Hashable, Sendable, CustomStringConvertible {
        case address(SocketAddress)
        case service(ServiceName, port: UInt16)

        package var description: String {
            switch self {
            case .address(let address): address.description
            case .service(let name, let port): "\(name):\(port)"
            }
        }
    }

    package var address: SocketAddress
    package var destination: Destination
    /// Whose identity the calls carry: the name of a workload of this node.
    package var workload: String

    package init(address: SocketAddress, destination: Destination, workload: String) {
        self.address = address
        self.destination = destination
        self.workload = workload
    }
}
