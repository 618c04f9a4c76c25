/// `GET /v1/gossip`: this node's own part in the gossip.
package struct GossipReport: Codable, Sendable, Equatable {
    package var node: String
    package var address: String
    package var incarnation: UInt32
    /// `serf` or `bare`.
    package var pool: String
    /// Separates pools on one network; empty for none.
    package var label: String
    /// The first eight bytes of each key's SHA-256, the key that seals first. Empty: nothing is encrypted.
    package var keys: [String]
    /// How much this node distrusts what it sees itself: 0 is well.
    package var awareness: Int
    package var awarenessMaximum: Int
    package var members: Members
    /// Messages that wait to be passed on.
    package var queued: Int
    package var counters: Counters
    /// What was refused from the network, by reason; reasons that never occurred are left out.
    package var refused: [Refused]
    /// The order about keys that is being carried out from here; nil when there is none.
    package var keyOrder: KeyOrder?
    /// Two nodes of one name: members whose name another node has too. Both answer.
    package var contested: [Contested]

    package init(
        node: String, address: String, incarnation: UInt32, pool: String, label: String, keys: [String], awareness: Int, awarenessMaximum: Int,
        members: Members, queued: Int, counters: Counters, refused: [Refused], keyOrder: KeyOrder? = nil,
        contested: [Contested] = []
    ) {
        self.node = node
        self.address = address
        self.incarnation = incarnation
        self.pool = pool
        self.label = label
        self.keys = keys
        self.awareness = awareness
        self.awarenessMaximum = awarenessMaximum
        self.members = members
        self.queued = queued
        self.counters = counters
        self.refused = refused
        self.keyOrder = keyOrder
        self.contested = contested
    }

    package struct Contested: Codable, Sendable, Equatable {
        package var name: String
        /// The member's, and the other node's.
        package var address: String
        package var claimant: String
        package init(name: String, address: String, claimant: String) {
            self.name = name
            self.address = address
            self.claimant = claimant
        }
    }

    package struct KeyOrder: Codable, Sendable, Equatable {
        /// Nodes that have followed it, of how many.
        package var done: Int
        package var nodes: Int
        package init(done: Int, nodes: Int) {
            self.done = done
            self.nodes = nodes
        }
    }

    package struct Members: Codable, Sendable, Equatable {
        package var alive: Int
        package var suspect: Int
        package var dead: Int
        package var left: Int
        package init(alive: Int, suspect: Int, dead: Int, left: Int) {
            self.alive = alive
            self.suspect = suspect
            self.dead = dead
            self.left = left
        }
    }

    /// Since the agent's start.
    package struct Counters: Codable, Sendable, Equatable {
        package var probes: UInt64 = 0
        package var probesFailed: UInt64 = 0
        /// The agent itself was late, so they say nothing.
        package var probesDiscarded: UInt64 = 0
        /// Only TCP was answered: something drops UDP.
        package var probesByStreamOnly: UInt64 = 0
        /// Probes for other members.
        package var relayed: UInt64 = 0
        package var suspicions: UInt64 = 0
        package var deaths: UInt64 = 0
        /// Claims about this node that it contradicted.
        package var refutations: UInt64 = 0
        /// Times that two nodes of one name were told of.
        package var contests: UInt64 = 0
        package var exchanges: UInt64 = 0
        package var exchangesFailed: UInt64 = 0
        package var datagramsReceived: UInt64 = 0
        package var datagramsSent: UInt64 = 0
        package var bytesReceived: UInt64 = 0
        package var bytesSent: UInt64 = 0
        package var sendFailures: UInt64 = 0
        package var streamsRefused: UInt64 = 0
        package var streamsTimedOut: UInt64 = 0
        package init() {}
    }

    package struct Refused: Codable, Sendable, Equatable {
        package var reason: String
        package var count: UInt64
        /// What it means and what to do about it.
        package var meaning: String
        package init(reason: String, count: UInt64, meaning: String) {
            self.reason = reason
            self.count = count
            self.meaning = meaning
        }
    }
}
