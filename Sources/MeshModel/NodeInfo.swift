import Platform

/// What a node says of itself, signed by it: the only source of tunnel addresses.
package struct NodeInfo: Hashable, Sendable {
    package var name: String
    /// Where its tunnels and plane end (port 15008 unless configured).
    package var tunnel: SocketAddress
    package var locality: Locality
    /// The agent's version, for people.
    package var version: String

    package init(name: String, tunnel: SocketAddress, locality: Locality = Locality(), version: String = "") {
        self.name = name
        self.tunnel = tunnel
        self.locality = locality
        self.version = version
    }
}

/// Whether a node can be reached, as membership sees it.
package enum Liveness: String, Hashable, Sendable { case alive, suspect, dead, left }
