import Identity
import Logging
import MeshModel
import Reactor
import Synchronization
import Testing

@testable import Membership

/// Nodes that exchange keys over calls instead of streams.
@Control
private final class Nodes {
    @Control final class Node {
        var held: GossipKeyring?
        var exchange: KeyExchange!
        /// Does not answer.
        var isSilent = false
        /// Its disk takes nothing.
        var isFull = false
        var stored: [UInt64] = []
    }
    private(set) var nodes: [String: Node] = [:]
    let lines = Lines()

    init(_ names: [String], _ ring: GossipKeyring) {
        for name in names { add(name, ring) }
    }

    func add(_ name: String, _ ring: GossipKeyring) {
        let node = Node()
        node.held = ring
        nodes[name] = node
        let logger = Logger(label: name) { [lines] _ in lines.handler(name) }
        node.exchange = KeyExchange(
            .init(
                node: name, held: { node.held },
                take: { ring, basis throws(MeshError) in
                    if node.isFull { throw MeshError(.kernel, code: "state_io", "cannot write: no space left") }
                    await Task.yield()
                    guard let held = node.held, ring.position > held.position, basis == nil || basis == held.position else { return false }
                    node.held = ring
                    node.stored.append(ring.revision)
                    return true
                },
                ask: { [weak self] peer, payload throws(MeshError) in
                    guard let other = self?.nodes[peer], !other.isSilent, !node.isSilent else {
                        throw MeshError(.peer, code: "no_stream", "there is no stream to node \(peer)")
                    }
                    await Task.yield()
                    return try await other.exchange.answer(payload, from: name)
                },
                reachable: { [weak self] in self?.others(name).filter { self?.nodes[$0]?.isSilent == false } ?? [] },
                living: { [weak self] in self?.others(name) ?? [] }), logger: logger)
    }

    private func others(_ name: String) -> [String] { nodes.keys.filter { $0 != name }.sorted() }
    subscript(name: String) -> Node { nodes[name]! }
    var revisions: [UInt64] { nodes.values.map { $0.held?.revision ?? 0 }.sorted() }
}

private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    struct Handler: LogHandler {
        let name: String
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.debug
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { lines.lines.withLock { $0.append("\(name) \(event.level): \(event.message)") } }
    }
    func handler(_ name: String) -> Handler { Handler(name: name, lines: self) }
    func all(_ start: String) -> [String] { lines.withLock { $0.filter { $0.hasPrefix(start) } } }
}

@Suite("Gossip keys of many nodes")
@Control
struct KeyExchangeTests {
    private let one = KeyOrderTests.print(1)
    private let two = KeyOrderTests.print(2)
    private func failure(_ body: @Control () async throws(MeshError) -> Void) async -> MeshError? {
        do throws(MeshError) {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    @Test func `an order reaches every node, and each journal says what and where from`() async throws {
        let nodes = Nodes(["a", "b", "c"], try KeyOrderTests.ring(1))
        let report = try await nodes["b"].exchange.carryOut(.add(KeyOrderTests.key(2)), force: false)
        #expect(report.done == 3 && report.nodes == 3 && report.isChanged && report.failures.isEmpty && report.fingerprint == two && report.revision == 8)
        #expect(nodes.revisions == [8, 8, 8])
        _ = try await nodes["a"].exchange.carryOut(.use(two), force: false)
        _ = try await nodes["a"].exchange.carryOut(.remove(one), force: false)
        #expect(nodes.nodes.values.allSatisfy { $0.held?.keys == [KeyOrderTests.key(2)] && $0.held?.revision == 10 })
        #expect(nodes.lines.all("c notice").first == "c notice: gossip keys, revision 8: key \(two) was added; ordered on node b")
        #expect(nodes.lines.all("b notice").count == 3 && nodes.lines.all("b notice")[2].contains("key \(one) was removed; ordered on node a"))
        #expect(nodes["a"].exchange.counters.ordersDone == 2 && nodes["c"].exchange.counters.taken == 3 && nodes["a"].exchange.progress == nil)
    }

    @Test func `a node that was away gets what it missed from whom it meets first`() async throws {
        let nodes = Nodes(["a", "b", "c"], try KeyOrderTests.ring(1))
        nodes["c"].isSilent = true
        let report = try await nodes["a"].exchange.carryOut(.add(KeyOrderTests.key(2)), force: false)
        #expect(report.done == 2 && report.failures.keys.sorted() == ["c"] && nodes["a"].exchange.counters.ordersPartly == 1)
        let refused = await failure { () async throws(MeshError) in _ = try await nodes["a"].exchange.carryOut(.use(two), force: false) }
        #expect(refused?.code == "gossip_keys_unheard" && nodes["a"].held?.keys.first == KeyOrderTests.key(1), "nothing has changed")
        _ = try await nodes["a"].exchange.carryOut(.use(two), force: true)
        _ = try await nodes["a"].exchange.carryOut(.remove(one), force: true)
        nodes["c"].isSilent = false
        // Whichever of the two asks.
        let before = try await nodes["c"].exchange.settle(with: "b")
        #expect(before == [two] && nodes["c"].held?.keys == [KeyOrderTests.key(2)] && nodes["c"].stored == [10])
        nodes.add("d", try KeyOrderTests.ring(1))
        #expect(try await nodes["b"].exchange.settle(with: "d") == [one])
        #expect(nodes["d"].held?.revision == 10)
    }

    @Test func `the same order again completes what was left`() async throws {
        let nodes = Nodes(["a", "b", "c"], try KeyOrderTests.ring(1, 2))
        nodes["c"].isFull = true
        let first = try await nodes["a"].exchange.carryOut(.use(two), force: false)
        #expect(first.done == 2 && first.failures["c"]?.message.contains("no space left") == true, "\(first)")
        nodes["c"].isFull = false
        let again = try await nodes["a"].exchange.carryOut(.use(two), force: false)
        #expect(!again.isChanged && again.done == 3 && nodes["c"].held?.keys.first == KeyOrderTests.key(2))

        nodes["c"].isFull = true
        _ = try await nodes["a"].exchange.carryOut(.remove(one), force: false)
        nodes["c"].isFull = false
        let removed = try await nodes["a"].exchange.carryOut(.remove(one), force: false)
        #expect(removed.done == 3 && !removed.isChanged && nodes["c"].held?.keys.count == 1)
        #expect(try await nodes["b"].exchange.carryOut(.remove(one), force: false).done == 3)
        let gone = await failure { () async throws(MeshError) in _ = try await nodes["a"].exchange.carryOut(.remove(KeyOrderTests.print(3)), force: false) }
        #expect(gone?.code == "gossip_key_unknown" && nodes["a"].exchange.counters.ordersRefused == 1)
    }

    @Test func `a node whose disk is full orders nothing`() async throws {
        let nodes = Nodes(["a", "b"], try KeyOrderTests.ring(1))
        nodes["a"].isFull = true
        let error = await failure { () async throws(MeshError) in _ = try await nodes["a"].exchange.carryOut(.add(KeyOrderTests.key(2)), force: false) }
        #expect(error?.code == "state_io" && nodes.revisions == [7, 7])
    }

    @Test(arguments: 0..<8)
    func `of orders on two nodes at once, one that was said to be done holds on all nodes`(_ delay: Int) async throws {
        let nodes = Nodes(["a", "b", "c", "d", "e"], try KeyOrderTests.ring(1))
        let first = Task { @Control in try? await nodes["a"].exchange.carryOut(.add(KeyOrderTests.key(2)), force: false) }
        let second = Task { @Control in
            // The second comes in every phase of the first.
            for _ in 0..<delay * 3 { await Task.yield() }
            return try? await nodes["b"].exchange.carryOut(.add(KeyOrderTests.key(3)), force: false)
        }
        let done = await [first.value, second.value].compactMap { $0?.fingerprint }
        #expect(!done.isEmpty)
        for node in nodes.nodes.values { await node.exchange.settleWithAnyone() }
        for _ in 0..<5 { for name in ["b", "c", "d", "e"] { await nodes["a"].exchange.settleQuietly(with: name) } }
        #expect(Set(nodes.nodes.values.map { $0.held?.position }).count == 1)
        #expect(done.allSatisfy { nodes["a"].held?.fingerprints.contains($0) == true }, "\(done)")
        #expect((nodes["a"].held?.revision ?? 0) > 7 && nodes["a"].held?.keys.first == KeyOrderTests.key(1))
    }

    @Test func `one order at a time`() async throws {
        let nodes = Nodes(["a", "b"], try KeyOrderTests.ring(1))
        let first = Task { @Control in try await nodes["a"].exchange.carryOut(.add(KeyOrderTests.key(2)), force: false) }
        while nodes["a"].exchange.progress == nil { await Task.yield() }
        let error = await failure { () async throws(MeshError) in _ = try await nodes["a"].exchange.carryOut(.add(KeyOrderTests.key(3)), force: false) }
        #expect(error?.code == "gossip_keys_busy" && error?.retryable == true)
        #expect(try await first.value.done == 2)
    }

    @Test func `looking changes nothing`() async throws {
        let nodes = Nodes(["a", "b", "c"], try KeyOrderTests.ring(1))
        nodes.add("d", try KeyOrderTests.ring(2, 1, revision: 9))
        nodes["c"].isSilent = true
        let sight = try await nodes["a"].exchange.look()
        #expect(sight.found == ["a": [one], "b": [one], "d": [two, one]] && sight.failures.keys.sorted() == ["c"] && sight.revision == 7)
        #expect(nodes.revisions == [7, 7, 7, 9])
    }

    @Test func `what cannot be, is refused, counted and named`() async throws {
        let nodes = Nodes(["a", "b"], try KeyOrderTests.ring(1))
        let far = try KeyringFrame(try KeyOrderTests.ring(2, revision: 7 + KeyExchange.longestStep + 1), withKeys: true).encoded()
        for payload in [far, [], Array("{}".utf8), [UInt8](repeating: 0x20, count: KeyringFrame.maximumBytes + 1), Array(#"{"revision":9,"digest":"","fingerprints":["\u001b"]}"#.utf8)] {
            #expect(await failure { () async throws(MeshError) in _ = try await nodes["a"].exchange.answer(payload, from: "b") } != nil)
        }
        let badKeys = #"{"revision":9,"digest":"x","fingerprints":[],"keyring":{"revision":9,"by":"b","keys":["AAAA"]}}"#
        #expect(await failure { () async throws(MeshError) in _ = try await nodes["a"].exchange.answer(Array(badKeys.utf8), from: "b") } != nil)
        #expect(nodes["a"].held?.revision == 7 && nodes["a"].exchange.counters.refused == 6)
        #expect(nodes.lines.all("a warning").count == 6 && nodes.lines.all("a warning")[0].contains("of node b were refused"))
    }
}
