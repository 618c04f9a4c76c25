import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

@Suite("Balance of workers", .serialized)
struct BalanceTests {
    /// Connections that have been served, and stay open.
    private static func open(_ count: Int, _ entry: SocketAddress) async throws -> [CInt] {
        try await blockingWork {
            try (0..<count).map { _ in
                let fd = try Peers.connect(entry)
                var byte: UInt8 = 0
                Peers.sendAll(fd, [1])
                guard read(fd, &byte, 1) == 1 else { throw Errno(EIO) }
                return fd
            }
        }
    }

    @Control
    @Test("long connections of one process are shared out evenly, few and many", .timeLimit(.minutes(1)), arguments: [(2, 12), (8, 6), (200, 2)])
    func flows(count: Int, rounds: Int) async throws {
        let application = try Peers.server(Peers.echo)
        for _ in 0..<rounds {
            let mesh = try await Mesh([application], direct: true) { $0.workers = 2 }
            let fds = try await Self.open(count, mesh.entry)
            let near = await mesh.near.statistics()
            let live = near.map(\.liveFlows)
            #expect(live.count == 2 && live.reduce(0, +) == count)
            #expect(live.max()! <= live.min()! + 1 + live.min()! / 4, "\(live), \(near.map(\.handovers)) handed over")
            for fd in fds { close(fd) }
            await mesh.stop()
        }
    }

    @Control
    @Test("no worker has two tunnels more than another, and one that lost its tunnels gets the next ones", .timeLimit(.minutes(1)))
    func tunnels() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], adjustFar: { $0.workers = 2 })
        func accepted() async -> [Int] { await mesh.far.statistics().map(\.acceptedTunnels) }
        var ofFirst: [RawTunnel] = []
        var ofSecond: [RawTunnel] = []
        for _ in 0..<8 {
            let tunnel = try RawTunnel(mesh.tunnel, as: "client")
            tunnel.begin()
            if await accepted()[0] > ofFirst.count { ofFirst.append(tunnel) } else { ofSecond.append(tunnel) }
            #expect(abs(ofFirst.count - ofSecond.count) <= 1)
        }
        #expect(await accepted() == [4, 4])
        ofFirst = []
        await mesh.until { await accepted() == [0, 4] }
        for count in 1...4 {
            ofFirst.append(try RawTunnel(mesh.tunnel, as: "client"))
            #expect(await accepted() == [count, 4])
        }
        ofFirst = []
        ofSecond = []
        await mesh.until { await accepted() == [0, 0] }
        #expect(await accepted() == [0, 0])
        await mesh.stop()
    }

    @Control
    @Test("four long flows between two nodes keep two workers busy on each", arguments: 1...8)
    func pair(round: Int) async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)]) { $0.workers = 2 } adjustFar: { $0.workers = 2 }
        let fds = try await Self.open(4, mesh.entry)
        #expect(await mesh.near.statistics().map(\.liveFlows) == [2, 2])
        #expect(await mesh.far.statistics().map(\.liveFlows) == [2, 2])
        #expect(await mesh.far.statistics().map(\.acceptedTunnels) == [1, 1])
        for fd in fds { close(fd) }
        await mesh.stop()
    }

    @Control
    @Test("in a storm of short connections every one is served, whoever accepted it", .timeLimit(.minutes(1)))
    func storm() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)]) { $0.workers = 2 } adjustFar: { $0.workers = 2 }
        let entry = mesh.entry
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    try await blockingWork {
                        try (0..<50).reduce(0) { served, number in
                            let fd = try Peers.connect(entry)
                            defer { close(fd) }
                            Peers.sendAll(fd, [UInt8(number)])
                            shutdown(fd, CInt(SHUT_WR))
                            return served + (Peers.receiveAll(fd) == [UInt8(number)] ? 1 : 0)
                        }
                    }
                }
            }
            for try await served in group { #expect(served == 50) }
        }
        #expect(await mesh.ends(1600).allSatisfy { $0.end == .completed })
        #expect(await mesh.near.statistics().reduce(0) { $0 + $1.handovers } > 0)
        await mesh.stop()
    }

    @Control
    @Test("a connection that comes to a worker that stops is reset and counted, and one that comes after its end stays with its sender", .timeLimit(.minutes(1)))
    func handedToTheStopping() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], direct: true)
        var settings = ProxySettings()
        settings.explicit = [try Peers.freePort()]
        let entry = settings.explicit[0]
        let worker = try Worker(index: 0, settings: settings, reports: try Mailbox(bound: 16), tenants: mesh.near.tenants)
        worker.offer(mesh.snapshots!.near)
        async let ended: Void = blockingWork { worker.run() }
        let held = try await Self.open(1, entry)[0]
        worker.stop(at: .now() + .seconds(20))
        await mesh.until { (try? Peers.connect(entry)).map { close($0) } == nil }

        let (caller, connection) = try Self.accepted()
        #expect(worker.mailbox.post(.serve(connection)))
        let answer = try await blockingWork {
            var byte: UInt8 = 0
            return (read(caller, &byte, 1), Errno.current.code)
        }
        #expect(answer.0 == -1 && answer.1 == ECONNRESET)
        close(caller)
        close(held)
        try await ended
        #expect(worker.statistics.ends[Int(FlowEnd.agentStopping.rawValue)] == 1)

        let (late, kept) = try Self.accepted()
        #expect(!worker.mailbox.post(.serve(kept)))
        let isKept = kept.take() != nil
        #expect(isKept)
        close(late)
        await mesh.stop()
    }

    /// A caller, and its connection as a worker has it from `accept`.
    private static func accepted() throws -> (caller: CInt, AcceptedConnection) {
        let listener = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0))
        let caller = try Peers.connect(Socket.localAddress(listener.raw)!)
        guard case .accepted(let fd, let peer) = Socket.accept(listener.raw) else { throw Errno.current }
        return (caller, AcceptedConnection(fd, from: peer, listener: 0))
    }

    @Test("when workers stop in the middle of handing over, every caller sees an end and no descriptor is left", .timeLimit(.minutes(1)))
    func stopInTheMiddle() async {
        await #expect(processExitsWith: .success) {
            Peers.raiseDescriptorLimit()
            try await StopInTheMiddle.run()
            Certificates.remove()
        }
    }
}

@Control
private enum StopInTheMiddle {
    static func run() async throws {
        let application = try Peers.server(Peers.echo)
        let before = Peers.openDescriptors()
        for _ in 0..<10 {
            let mesh = try await Mesh([application]) { $0.workers = 3 } adjustFar: { $0.workers = 3 }
            let entry = mesh.entry
            async let callers: Void = withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<24 { group.addTask { try await blockingWork { call(entry) } } }
                try await group.waitForAll()
            }
            await mesh.until { await mesh.near.statistics().reduce(0) { $0 + $1.handovers } >= 20 }
            await mesh.near.drain(grace: .zero)
            try await callers
            await mesh.stop()
        }
        for _ in 0..<200 where Peers.openDescriptors() > before { await ControlLoop.shared.sleep(.milliseconds(10)) }
        if Peers.openDescriptors() > before { Issue.record("\(Peers.openDescriptors()) descriptors are open, \(before) were before: \(Peers.descriptorNames())") }
    }

    /// Calls until nobody listens any more. Half of the connections are short, and half stay until the end.
    private nonisolated static func call(_ entry: SocketAddress) {
        var kept: [CInt] = []
        for number in 0... {
            guard let fd = try? Peers.connect(entry) else { break }
            var byte: UInt8 = 0
            Peers.sendAll(fd, [1])
            let served = read(fd, &byte, 1) == 1
            if number % 2 == 0, kept.count < 20, served { kept.append(fd) } else { close(fd) }
        }
        for fd in kept {
            var byte: UInt8 = 0
            if read(fd, &byte, 1) > 0 || Errno.current.code == EAGAIN { Issue.record("a caller saw no end") }
            close(fd)
        }
    }
}
