import Glibc
import Platform
import Reactor
import Synchronization
import Testing
import Traffic

@testable import Proxy

@Suite("Namespaces", .serialized)
struct TenantTests {
    // MARK: Through workers

    @Control
    @Test("a namespace gets as many flows as it may, its next one is reset, and a reload changes how many", .timeLimit(.minutes(1)), arguments: [true, false])
    func flows(direct: Bool) async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], direct: direct, neighbour: true)
        mesh.near.tenants.setLimits(NamespaceLimits(), exceptions: ["shop": NamespaceLimits(flows: 2)])
        var open: [CInt] = []
        for _ in 0..<2 { open.append(try #require(try await Self.call(mesh.entry))) }
        #expect(try await Self.call(mesh.entry) == nil)
        // The other namespace does not notice.
        for _ in 0..<4 { open.append(try #require(try await Self.call(mesh.neighbour!))) }
        #expect(await mesh.ends(1).map(\.end) == [.namespaceFlowLimit])
        // The first streams under the default bound start with the largest.
        let window = direct ? 0 : StreamWindow.largestInitial
        #expect(mesh.near.figures("shop") == .init(namespace: "shop", flows: 2, memory: 2 * window, refused: [.flows: 1, .rate: 0, .memory: 0]))
        #expect(mesh.near.figures("batch") == .init(namespace: "batch", flows: 4, memory: 4 * window, refused: [.flows: 0, .rate: 0, .memory: 0]))

        mesh.near.tenants.setLimits(NamespaceLimits(flows: 3))
        open.append(try #require(try await Self.call(mesh.entry)))
        for address in [mesh.entry, mesh.neighbour!] { #expect(try await Self.call(address) == nil) }
        // Fewer than there are: those stay.
        mesh.near.tenants.setLimits(NamespaceLimits(flows: 1))
        for fd in open { #expect(try await Self.echoes(fd)) }
        for fd in open { close(fd) }
        await mesh.until { mesh.near.figures("shop").flows == 0 && mesh.near.figures("batch").flows == 0 }
        let again = try #require(try await Self.call(mesh.entry))
        close(again)
        await mesh.allGone()
        await mesh.stop()
    }

    @Control
    @Test("all namespaces together have as many flows as the node may, and that is nobody's limit but the node's", .timeLimit(.minutes(1)))
    func node() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], neighbour: true) { $0.limits.nodeFlows = 3 } adjustFar: { $0.limits.nodeFlows = 10 }
        var open: [CInt] = []
        for address in [mesh.entry, mesh.neighbour!, mesh.entry] { open.append(try #require(try await Self.call(address))) }
        for address in [mesh.entry, mesh.neighbour!] { #expect(try await Self.call(address) == nil) }
        #expect(await mesh.ends(2).map(\.end) == [.flowLimit, .flowLimit])
        for namespace in ["shop", "batch"] { #expect(mesh.near.figures(namespace).refused == [.flows: 0, .rate: 0, .memory: 0]) }
        close(open.removeLast())
        await mesh.until { mesh.near.figures("shop").flows == 1 }
        open.append(try #require(try await Self.call(mesh.neighbour!)))
        for fd in open { close(fd) }
        await mesh.allGone()
        await mesh.stop()
    }

    @Control
    @Test("a namespace that opens flows faster than it may is refused, at its rate and no more", .timeLimit(.minutes(1)))
    func rate() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], neighbour: true)
        mesh.near.tenants.setLimits(NamespaceLimits(), exceptions: ["shop": NamespaceLimits(newFlowsPerSecond: 1)])
        let started = MonotonicTime.now()
        var admitted = 0
        for _ in 0..<30 {
            guard let fd = try await Self.call(mesh.entry) else { continue }
            admitted += 1
            close(fd)
        }
        let seconds = Int((MonotonicTime.now() - started).milliseconds / 1000)
        #expect((1...seconds + 2).contains(admitted), "\(admitted) in \(seconds) s")
        #expect(mesh.near.figures("shop").refused == [.flows: 0, .rate: 30 - admitted, .memory: 0])
        await mesh.until { mesh.ended.count { $0.end == .namespaceRateLimit } == 30 - admitted }
        #expect(mesh.ended.count { $0.end == .namespaceRateLimit } == 30 - admitted)
        for _ in 0..<5 { close(try #require(try await Self.call(mesh.neighbour!))) }
        mesh.near.tenants.setLimits(NamespaceLimits())
        for _ in 0..<5 { close(try #require(try await Self.call(mesh.entry))) }
        await mesh.allGone()
        await mesh.stop()
    }

    @Control
    @Test("slow readers of one namespace are cut at its bound, and another's are not", .timeLimit(.minutes(1)), arguments: [true, false])
    func memory(direct: Bool) async throws {
        let application = try Peers.server { fd in
            var order: UInt8 = 0
            guard read(fd, &order, 1) == 1, Peers.sendAll(fd, [order]) else { return }
            if order == UInt8(ascii: "e") { return Peers.echo(fd) }
            while Peers.sendAll(fd, [UInt8](repeating: 1, count: 65_536)) {}
        }
        let bound = 512 << 10
        let mesh = try await Mesh([application], direct: direct, neighbour: true) {
            $0.limits.streamWindow = 64 << 10
            $0.limits.unsentBytes = 64 << 10
        }
        mesh.near.tenants.setLimits(NamespaceLimits(), exceptions: ["shop": NamespaceLimits(memory: bound)])
        let (entry, neighbour) = (mesh.entry, mesh.neighbour!)
        let slow = try await blockingWork {
            try [entry, neighbour].flatMap { address in
                try (0..<40).map { _ in
                    let fd = try Peers.connect(address, receiveBuffer: 4096)
                    Peers.sendAll(fd, Array("s".utf8))
                    return fd
                }
            }
        }
        // In both namespaces 40 readers wait for more than the bound; all of the second go on.
        await mesh.until { mesh.near.figures("shop").refused[.memory]! > 0 && mesh.near.figures("batch").memory > 2 * bound }
        let shop = mesh.near.figures("shop")
        #expect(shop.refused[.memory]! > 0 && shop.refused[.flows] == 0 && shop.refused[.rate] == 0)
        #expect(shop.flows > 0 && shop.memory > 0 && shop.memory <= bound, "\(shop)")
        #expect(mesh.near.figures("batch").flows == 40 && mesh.near.figures("batch").refused[.memory] == 0)
        await mesh.until { mesh.ended.count { $0.end == .namespaceMemoryLimit } == mesh.near.figures("shop").refused[.memory]! }
        #expect(mesh.ended.count { $0.end == .namespaceMemoryLimit } == mesh.near.figures("shop").refused[.memory]!)
        let fd = try #require(try await Self.call(neighbour))
        for fd in slow + [fd] { close(fd) }
        await mesh.allGone()
        #expect(await mesh.sum(\.bufferedBytes) == 0)
        // What was refused has room again.
        close(try #require(try await Self.call(entry)))
        await mesh.stop()
    }

    @Control
    @Test("a namespace that can't afford a pipe still moves every byte")
    func withoutPipes() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], direct: true)
        mesh.near.tenants.setLimits(NamespaceLimits(memory: 1 << 20))
        let entry = mesh.entry
        let equal = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            let sent = Peers.pattern(16 << 20)
            Peers.sendAside(fd, sent, thenEnd: true)
            return Peers.receiveAll(fd) == sent
        }
        #expect(equal)
        await mesh.allGone()
        #expect(mesh.near.figures("shop").refused == [.flows: 0, .rate: 0, .memory: 0])
        await mesh.stop()
    }

    @Control
    @Test("a bulk transfer that waits for its reader is charged with its pipe, or with its buffer where its namespace can't afford one", arguments: [true, false])
    func pipes(affordable: Bool) async throws {
        let application = try Peers.server { fd in while Peers.sendAll(fd, [UInt8](repeating: 1, count: 262_144)) {} }
        let mesh = try await Mesh([application], direct: true) { $0.limits.unsentBytes = 64 << 10 }
        // Three quarters of the bound are for pipes.
        mesh.near.tenants.setLimits(NamespaceLimits(memory: affordable ? Pipe.capacity * 4 / 3 : Pipe.capacity))
        let entry = mesh.entry
        let fd = try await blockingWork {
            let fd = try Peers.connect(entry, receiveBuffer: 65_536)
            var buffer = [UInt8](repeating: 0, count: 65_536)
            var left = 4 << 20
            while left > 0, case let count = read(fd, &buffer, buffer.count), count > 0 { left -= count }
            return fd
        }
        func settled() -> Bool {
            let memory = mesh.near.figures("shop").memory
            return affordable ? memory == Pipe.capacity : memory > 0 && memory <= 128 << 10
        }
        await mesh.until { settled() }
        #expect(settled(), "\(mesh.near.figures("shop"))")
        close(fd)
        await mesh.allGone()
        await mesh.stop()
    }

    @Control
    @Test("the node that serves counts the endpoint's namespace, and tells the calling node why", .timeLimit(.minutes(1)))
    func serving() async throws {
        let application = try Peers.server(Peers.echo)
        let mesh = try await Mesh([application])
        mesh.far.tenants.setLimits(NamespaceLimits(flows: 1))
        let open = try #require(try await Self.call(mesh.entry))
        #expect(mesh.far.figures("stock").flows == 1)
        #expect(try await Self.call(mesh.entry) == nil)
        let refusal = try #require(await mesh.ends(2).first { $0.direction == .tunnel })
        #expect(refusal.end == .namespaceFlowLimit && refusal.destination == application && refusal.service == mesh.names.id("reviews.default"))
        #expect(mesh.ended.contains { $0.direction == .outbound && $0.end == .tunnelRefused })
        #expect(mesh.far.figures("stock").refused == [.flows: 1, .rate: 0, .memory: 0])
        let tunnel = mesh.tunnel
        let answer = try await blockingWork {
            let raw = try RawTunnel(tunnel, as: "client")
            raw.begin()
            raw.request([(":method", "CONNECT"), (":authority", application.description)])
            return raw.answer()
        }
        #expect(answer == .response(status: "503", error: "namespace_flow_limit"))
        close(open)
        await mesh.allGone()
        await mesh.stop()
    }

    /// A connection that has echoed a byte, or nil when it was reset.
    private static func call(_ address: SocketAddress) async throws -> CInt? {
        try await blockingWork {
            let fd = try Peers.connect(address)
            if ask(fd) { return fd }
            close(fd)
            return nil
        }
    }
    private static func echoes(_ fd: CInt) async throws -> Bool { try await blockingWork { ask(fd) } }
    private static func ask(_ fd: CInt) -> Bool {
        var byte = UInt8(ascii: "e")
        return Peers.sendAll(fd, [byte]) && read(fd, &byte, 1) == 1 && byte == UInt8(ascii: "e")
    }
}

extension ProxyPool {
    func figures(_ namespace: String) -> Tenants.Figures { tenants.figures().first { $0.namespace == namespace }! }
}

extension Mesh {
    /// Waits until no namespace of either node has anything, and says so when one has.
    func allGone() async {
        func has() -> [Tenants.Figures] { (near.tenants.figures() + far.tenants.figures()).filter { $0.flows != 0 || $0.memory != 0 } }
        await until { has().isEmpty }
        #expect(has() == [])
    }
}
