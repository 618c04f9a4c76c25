import MeshModel
import Platform

/// What the kernel should know at one moment, beside the settings: everything that grows.
package struct KernelState: Equatable, Sendable {
    /// Ids of all captured cgroups.
    package var cgroups: Set<UInt64> = []
    /// Where local workloads serve; plaintext that reaches these from outside is led to the inbound listener.
    package var endpoints: Set<SocketAddress> = []
    /// Ports of workloads under STRICT: plaintext that was not led to the agent is refused.
    package var strictPorts: Set<UInt16> = []

    package init(cgroups: Set<UInt64> = [], endpoints: Set<SocketAddress> = [], strictPorts: Set<UInt16> = []) {
        self.cgroups = cgroups
        self.endpoints = endpoints
        self.strictPorts = strictPorts
    }
}
