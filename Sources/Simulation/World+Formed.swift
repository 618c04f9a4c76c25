import Catalog
import MeshModel
import Platform
import SWIM

// A mesh whose joins were long ago.
extension World {
    /// Everybody runs, and knows everybody and everybody's records.
    ///
    /// What a thousand nodes tell each other when all join at once takes minutes of processor; whoever wants to see what happens to such a mesh later begins here.
    package func form() {
        for node in nodes { boot(node, keepsState: false) }
        let members = nodes.compactMap { node in Self.ask(&node.core) { $0.member(node.name) } }
        let observer = observeAll()
        for node in nodes {
            node.core.adopt(members, seeds: seeds(for: node).map(\.gossipAddress), rng: &node.random)
            node.catalog.adopt(observer)
            node.catalog.effects = []
        }
        connectAll()
        for node in nodes {
            node.catalog.effects = []
            publish(node)
            node.catalog.effects = []
            lookAfter(node)
        }
    }

    /// A catalog that has learned from each node, by the messages that a new node would get, what that one says of itself.
    private func observeAll() -> CatalogCore {
        var observer = CatalogCore(
            node: "observer", trustDomain: Self.trustDomain, generation: 1, limits: CatalogLimits(), authority: CheapAuthority.make("observer"))
        let local = nodes[0].clock.local(now)
        for node in nodes {
            node.catalog.commit(node.clock.local(now))
            node.signed = Self.position(of: node.name, &node.catalog)
            node.catalog.effects = []
            node.catalog.connected(observer.node, node.clock.local(now))
            node.catalog.received(.want([node.name: .none]), from: observer.node, node.clock.local(now))
            let effects = node.catalog.effects
            node.catalog.disconnected(observer.node, node.clock.local(now))
            observer.liveness(node.name, .alive, local)
            observer.connected(node.name, local)
            for case .send(let message, _) in effects { observer.received(message, from: node.name, local) }
            observer.disconnected(node.name, local)
        }
        _ = observer.view()
        return observer
    }

    private func connectAll() {
        for node in nodes {
            let local = node.clock.local(now)
            for dial in node.plan.due(local) {
                guard let target = self.node(at: dial.address.ip) else { preconditionFailure("\(node.name) has no seed at \(dial.address)") }
                node.plan.finished(dial, reached: nodes[target].name, local, random: 0)
            }
        }
        for a in nodes.indices {
            let near = Set(neighbours(of: a))
            for b in (a + 1)..<nodes.count where pace.isFullMesh || isSeed(a) || near.contains(b) {
                let (dialler, acceptor) = nodes[a].name < nodes[b].name ? (nodes[a], nodes[b]) : (nodes[b], nodes[a])
                let link = PlaneLink(from: dialler.index, to: acceptor.index)
                streams.append(link)
                for (end, other) in [(dialler, acceptor), (acceptor, dialler)] {
                    end.links[other.index] = link
                    end.plan.connected(other.name)
                    end.catalog.connected(other.name, end.clock.local(now))
                    end.catalog.effects = []
                }
            }
        }
    }
}
