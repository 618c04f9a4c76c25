import Platform
import TLS
import Traffic

/// What workers are told at start; a change needs a restart of the agent.
package struct ProxySettings: Sendable {
    package var workers = 1
    /// Captured outbound connections arrive here, redirected.
    package var outbound: [SocketAddress] = []
    /// Captured inbound plaintext arrives here, at transparent sockets: a connection has the address that it was going to.
    package var inbound: [SocketAddress] = []
    /// Other nodes connect here.
    package var tunnel: [SocketAddress] = []
    /// Explicit listeners: what comes is a call to the destination that `Snapshot.listeners` has at the same index.
    package var explicit: [SocketAddress] = []
    /// `SO_MARK` of sockets that capture must skip.
    package var excludedMark: UInt32 = 0
    /// `SO_MARK` of sockets that carry a client's address.
    package var spoofedMark: UInt32 = 0
    /// Connections that wait in each listener's queue: at start until the first snapshot is in, later for a busy worker.
    package var backlog = 4096
    /// Endpoints of this node before those of others, while there are usable ones; else all take turns.
    package var preferLocal = false
    /// Show applications the client's address where it can be believed.
    package var keepClientAddress = true
    /// The ports that the kernel of this host gives to connections (`ip_local_port_range`).
    package var ephemeralPorts: ClosedRange<UInt16> = 32768...60999
    /// After so long without a sign of life the kernel gives a connection up: keepalive, and data that is not acknowledged.
    package static let silence: Duration = .seconds(360)
    /// Let the kernel encrypt. Else many records of a tunnel leave with one call of the kernel.
    package var kernelTLS = TLSFeatures.kernelTLS
    package var timeouts = Timeouts()
    package var limits = Limits()

    package struct Timeouts: Sendable {
        package var connect: Duration = .seconds(10)
        package var handshake: Duration = .seconds(10)
        /// Nothing in either direction. Zero: never.
        package var idle: Duration = .seconds(3600)
        /// One side closed, nothing from the other.
        package var halfClosed: Duration = .seconds(300)
        /// How long connections wait for the first snapshot before they are refused.
        package var hold: Duration = .seconds(10)
        /// A tunnel without streams.
        package var tunnelIdle: Duration = .seconds(300)
        /// A peer that answers no ping.
        package var tunnelPing: Duration = .seconds(20)
        package init() {}
    }

    package struct Limits: Sendable {
        /// Accepted descriptors with this number or a higher one are refused, so that the rest of the agent always has some: below the open-files
        /// limit by a margin. (Running out altogether ends the process: libdispatch traps when it cannot look at its own threads.)
        package var descriptors = CInt.max
        /// Flows of one worker at one time.
        package var flows = 100_000
        /// Flows of all workers at one time. Not shared out among them in advance: the streams of a busy tunnel are all one worker's, and what a namespace may
        /// have in all must not fill that worker for the others.
        package var nodeFlows = Int.max
        /// Tunnels of one worker at one time.
        package var tunnels = 4096
        /// Of these, connections from others whose handshake is not over: whoever reaches the port can make them, each costs up to 200 KiB, and they must
        /// not take the places of those who have proved who they are.
        package var handshakes = 1024
        /// Tunnels of one worker for one pair of identities and one node.
        package var tunnelsPerPeer = 8
        /// Bytes that a peer may send on a new stream before the application took some, at most: less where the flow's namespace has little left, more once the
        /// flow needs it (`StreamWindow`).
        package var streamWindow = StreamWindow.largestInitial
        /// Bytes of a tunnel that may be on their way. This credit returns on receipt, so it bounds no memory.
        package var tunnelWindow = 16 << 20
        /// Bytes a second from which on flows that come later go to another tunnel, if there may be one: more than half of what a small core decrypts.
        package var crowdedTunnel = 80 << 20
        /// Streams in one tunnel; more flows open another tunnel.
        package var streamsPerTunnel = 1000
        /// Endpoints that are tried for one flow.
        package var attempts = 3
        /// Bytes that one flow may move before the next flow has its turn.
        package var bytesPerTurn = 256 << 10
        /// Bytes that one socket may hold in the kernel and not have sent yet. Without it one that never reads costs up to 4 MiB there (`tcp_wmem`).
        package var unsentBytes = 1 << 20
        /// Bytes that a worker may hold for slow readers, all flows together: twice what one namespace may have by default.
        package var bufferedBytes = 512 << 20
        /// Pipes of bulk flows at one time, each with at most 1 MiB in it; more flows copy instead. And how many idle ones are kept.
        package var pipes = 1024
        package var idlePipes = 128
        package init() {}
    }

    package init() {}
}
