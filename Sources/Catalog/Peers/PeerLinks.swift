import Plane
import Platform
import Reactor

/// The streams to other nodes.
@Control
struct PeerLinks {
    struct Link {
        let stream: PlaneStream
        let dialledHere: Bool
        let since: MonotonicTime
        /// As the peer's hello said.
        let life: UInt64
    }

    let node: String
    /// Sent in every hello: another number for each start, so that a peer knows streams of an earlier life for dead.
    let life = UInt64.random(in: 1...UInt64.max)
    var plan: DialPlan
    var links: [String: Link] = [:]
    /// Streams on which no hello has come yet.
    var greeting = 0
    /// The most of those.
    static let maximumGreeting = 512
    static let maximumFailures = 8_192
    /// How long a peer has to say hello.
    static let helloTimeout = Duration.seconds(5)
    /// Why the last dial of each address failed; forgotten when there are too many.
    var failures: [SocketAddress: String] = [:]

    init(node: String) {
        self.node = node
        plan = DialPlan(node: node)
    }
}

/// One line of `weft members`' plane column.
package struct PeerStatus: Sendable {
    package var node: String
    package var address: SocketAddress?
    package var dialledHere: Bool
    package var since: MonotonicTime
    package var queuedBytes: Int
    package var counters: PlaneCounters
}
