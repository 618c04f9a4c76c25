import Catalog
import MeshModel
import Platform
import SWIM

// Whether everybody holds the same, and the truth.
extension World {
    /// How long after the end of all faults everybody may take to hold the truth.
    package var convergenceBound: Duration {
        // Who alone holds a node at an address that it left must probe it in its turn, bury it, and hear of it in an exchange, whose interval grows with the
        // pool. The calls to the dead come every 30 s.
        let round = timers.probeInterval * count
        let doublings = Int.bitWidth - (count - 1).leadingZeroBitCount
        let exchange = timers.pushPullInterval * (count <= 32 ? 1 : doublings - 4)
        return deathBound + round + exchange * 2 + timers.reconnectInterval * 4
    }

    /// Why not all hold the same, and the truth; nil when they do.
    package func disagreement() -> String? {
        let running = nodes.filter(\.isRunning)
        for node in running {
            let live = Self.ask(&node.core) { $0.liveCount }
            if live != running.count || node.isPublishArmed || Self.ask(&node.core, { $0.isLeaving }) {
                return "\(node.name) holds \(live) of \(running.count) for live"
            }
        }
        let truth = Truth(running, nodes.count, own: { Self.position(of: $0.name, &$0.catalog) }) { node in
            node.declared.values.reduce(0) { $0 &+ Self.print(endpoint(node, $1)) }
        }
        // Who disagreed the last time does so most likely still.
        let first = running.firstIndex { $0.index >= doubted } ?? 0
        for node in running[first...] + running[..<first] {
            doubted = node.index
            if let difference = difference(node, truth) { return difference }
        }
        return nil
    }

    /// What all are to hold, as sums, which depend on no order and are quickly taken of what a node holds.
    private struct Truth {
        let running: [Node]
        let isRunning: [Bool]
        var members: UInt64 = 0
        var positions: UInt64 = 0
        var endpoints: UInt64 = 0

        init(_ running: [Node], _ count: Int, own: (Node) -> Position, endpoints print: (Node) -> UInt64) {
            self.running = running
            var isRunning = [Bool](repeating: false, count: count)
            for node in running {
                isRunning[node.index] = true
                members &+= Self.print(node.index, node.gossipAddress)
                positions &+= Self.print(node.index, own(node))
                endpoints &+= print(node)
            }
            self.isRunning = isRunning
        }

        static func print(_ node: Int, _ address: SocketAddress) -> UInt64 { mix(mix(UInt64(node), address.ip.low), UInt64(address.port)) }
        static func print(_ node: Int, _ position: Position) -> UInt64 { mix(mix(UInt64(node), position.generation), position.version) }
        private static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
            let hash = (a ^ b &* 0x9e37_79b9_7f4a_7c15) &* 0xff51_afd7_ed55_8ccd
            return hash ^ hash >> 31
        }
    }

    private func difference(_ node: Node, _ truth: Truth) -> String? {
        var members: UInt64 = 0
        Self.ask(&node.core) { core in
            core.forEachMember { name, state, address in if state == .alive { members &+= Truth.print(Node.index(name), address) } }
        }
        if members != truth.members {
            let held = Dictionary(uniqueKeysWithValues: Self.ask(&node.core) { $0.members }.map { ($0.name, $0) })
            let strange = truth.running.first { held[$0.name]?.state != .alive || held[$0.name]?.address != $0.gossipAddress }
            return strange.map { "\(node.name) does not hold \($0.name) alive at \($0.gossipAddress)" } ?? "\(node.name) holds somebody alive who is not"
        }
        var positions: UInt64 = 0
        for (origin, position) in Self.ask(&node.catalog, { $0.knownPositions }) where truth.isRunning[Node.index(origin)] {
            positions &+= Truth.print(Node.index(origin), position)
        }
        if positions != truth.positions {
            for other in truth.running {
                let (known, own) = (Self.position(of: other.name, &node.catalog), Self.position(of: other.name, &other.catalog))
                if known != own { return "\(node.name) knows \(other.name) up to \(known) of \(own)" }
            }
        }
        build(node)
        var endpoints: UInt64 = 0
        for service in node.view.services {
            // By their places: a loop over the endpoints themselves copies each.
            let all = service.endpoints
            for place in all.indices where all[place].reachable { endpoints &+= Self.print(all[place].endpoint) }
        }
        return endpoints == truth.endpoints ? nil : differences(node, truth.running)
    }

    /// How far a catalog knows an origin.
    static func position(of origin: String, _ catalog: inout CatalogCore) -> Position { ask(&catalog) { $0.knownPositions[origin] ?? .none } }

    private func differences(_ node: Node, _ running: [Node]) -> String {
        let truth = Set(running.flatMap { other in other.declared.values.map { endpoint(other, $0) } })
        let seen = Set(node.view.services.flatMap { $0.endpoints.filter(\.reachable).map(\.endpoint) })
        func list(_ endpoints: Set<Endpoint>) -> String { endpoints.map { "\($0.node)'s \($0.address) \($0.version)" }.sorted().prefix(3).joined(separator: ", ") }
        return "\(node.name) gives no traffic to [\(list(truth.subtracting(seen)))] and some to [\(list(seen.subtracting(truth)))]"
    }

    /// A number for what an endpoint is; sums of them do not depend on an order.
    private static func print(_ endpoint: Endpoint) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ value: UInt64) { hash = (hash ^ value ^ hash >> 31) &* 0xff51_afd7_ed55_8ccd }
        add(endpoint.address.ip.low)
        add(UInt64(endpoint.address.port))
        for text in [endpoint.service.name, endpoint.node, endpoint.version] { for byte in text.utf8 { add(UInt64(byte)) } }
        return hash
    }
}
