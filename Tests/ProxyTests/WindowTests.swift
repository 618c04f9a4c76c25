import Glibc
import Platform
import Reactor
import Testing
import Traffic

@testable import Proxy

/// Windows of streams, from the request to the end: how much a flow gets, and that its namespace is charged with it and no longer.
@Suite("Windows", .serialized)
struct WindowTests {
    /// The windows that flows get in a namespace with much memory.
    private static let first = StreamWindow.largestInitial
    private static let echo = UInt8(ascii: "e"), source = UInt8(ascii: "s"), sink = UInt8(ascii: "r")
    private static let much = 32 << 20

    /// Its first byte says what a connection is for: an echo, `much` from the server and silence then, or `much` to it and a byte when it has all.
    private static func application() throws -> SocketAddress {
        try Peers.server { fd in
            var order: UInt8 = 0
            guard read(fd, &order, 1) == 1 else { return }
            let bytes = [UInt8](repeating: 7, count: 1 << 20)
            switch order {
            case Self.echo: return Peers.echo(fd)
            case Self.source: for _ in 0..<much / bytes.count { Peers.sendAll(fd, bytes) }
            default:
                guard take(much, fd) else { return }
                Peers.sendAll(fd, [1])
            }
            _ = read(fd, &order, 1)
        }
    }

    @Control
    private static func mesh(_ endpoints: [SocketAddress], local: [SocketAddress]? = nil, through: (SocketAddress) throws -> SocketAddress = { $0 }) async throws -> Mesh {
        let mesh = try await Mesh(endpoints, local: local, through: through)
        for pool in [mesh.near, mesh.far] { pool.tenants.setLimits(NamespaceLimits(memory: 1 << 30)) }
        return mesh
    }

    private static func take(_ count: Int, _ fd: CInt) -> Bool {
        var left = count
        var buffer = [UInt8](repeating: 0, count: 262_144)
        while left > 0 {
            let got = read(fd, &buffer, min(left, buffer.count))
            if got <= 0 { return false }
            left -= got
        }
        return true
    }

    @Control
    @Test("one flow between distant hosts gets a window for the distance, and is faster by it", .timeLimit(.minutes(1)), arguments: [true, false])
    func longWay(upload: Bool) async throws {
        let delay = 50
        let mesh = try await Self.mesh([try Self.application()], through: { try LongWay.start(before: $0, milliseconds: delay) })
        let entry = mesh.entry
        let (fd, time) = try await blockingWork {
            let fd = try Peers.connect(entry)
            let started = MonotonicTime.now()
            Peers.sendAll(fd, [upload ? Self.sink : Self.source])
            if upload { Peers.sendAside(fd, [UInt8](repeating: 7, count: Self.much), thenEnd: false) }
            guard Self.take(upload ? 1 : Self.much, fd) else { throw Errno(EIO) }
            return (fd, MonotonicTime.now() - started)
        }
        // With a window that stays as it was, a window is what a round trip brings.
        let fixed = Duration.milliseconds(Self.much / StreamWindow.largestInitial * 2 * delay)
        #expect(time < fixed * 2 / 3, "\(Self.much) bytes took \(time), and 256 KiB each round trip would take \(fixed)")
        let window = (upload ? mesh.far.figures("stock") : mesh.near.figures("shop")).memory
        #expect(window > 1 << 20 && window <= StreamWindow.largest, "\(window)")
        #expect((upload ? mesh.near.figures("shop") : mesh.far.figures("stock")).memory == Self.first, "the other direction's is as it was")
        close(fd)
        await mesh.allGone()
        await mesh.stop()
    }

    @Control
    @Test("an application that reads slowly keeps the window that it had")
    func slowReader() async throws {
        let mesh = try await Self.mesh([try Self.application()])
        let entry = mesh.entry
        let fd = try await blockingWork {
            let fd = try Peers.connect(entry, receiveBuffer: 4096)
            Peers.sendAll(fd, [Self.source])
            // Twelve windows in a second and a half, far from one in each round trip.
            for _ in 0..<96 {
                guard Self.take(16 << 10, fd) else { throw Errno(EIO) }
                usleep(15_000)
            }
            return fd
        }
        #expect(mesh.near.figures("shop").memory == Self.first)
        close(fd)
        await mesh.allGone()
        await mesh.stop()
    }

    @Control
    @Test("a window is charged on both nodes from the request to the end of what comes, and once when a request is tried again")
    func charged() async throws {
        let (ends, unknown) = (try Self.application(), SocketAddress("127.0.0.1:1")!)
        let mesh = try await Self.mesh([unknown, ends], local: [ends])
        let entry = mesh.entry
        func memory() -> [Int] { [mesh.near.figures("shop").memory, mesh.far.figures("stock").memory] }
        let open = try await blockingWork {
            try (0..<4).map { _ in
                let fd = try Peers.connect(entry)
                Peers.sendAll(fd, [Self.echo])
                guard Peers.sendAll(fd, [1]), Self.take(1, fd) else { throw Errno(EIO) }
                return fd
            }
        }
        // Half of them were refused once before.
        #expect(memory() == [4 * Self.first, 4 * Self.first])
        // The caller has ended: nothing more comes at the far node. The echo ends then.
        shutdown(open[0], CInt(SHUT_WR))
        await mesh.until { memory() == [3 * Self.first, 3 * Self.first] }
        #expect(memory() == [3 * Self.first, 3 * Self.first])
        for fd in open { close(fd) }
        await mesh.allGone()
        await mesh.stop()
    }

    @Control
    @Test("what the caller will send no more costs nothing, though the flow goes on")
    func halfClosed() async throws {
        let server = try Peers.server { fd in
            guard Peers.receiveAll(fd) == [1], Peers.sendAll(fd, [2]) else { return }
            var gone = pollfd(fd: fd, events: 0, revents: 0)
            poll(&gone, 1, 30_000)
        }
        let mesh = try await Self.mesh([server])
        let entry = mesh.entry
        let fd = try await blockingWork {
            let fd = try Peers.connect(entry)
            Peers.sendAll(fd, [1])
            shutdown(fd, CInt(SHUT_WR))
            guard Self.take(1, fd) else { throw Errno(EIO) }
            return fd
        }
        #expect(mesh.far.figures("stock") == .init(namespace: "stock", flows: 1, memory: 0, refused: [.flows: 0, .rate: 0, .memory: 0]))
        #expect(mesh.near.figures("shop").memory == Self.first)
        close(fd)
        await mesh.stop()
    }

    @Control
    @Test("near its bound a namespace's new flows get the smallest window each, and the one for which there is none is refused", arguments: [true, false])
    func smallest(serving: Bool) async throws {
        let mesh = try await Mesh([try Self.application()], neighbour: true)
        let most = 64
        (serving ? mesh.far : mesh.near).tenants.setLimits(NamespaceLimits(memory: most * StreamWindow.smallest))
        let (entry, neighbour) = (mesh.entry, mesh.neighbour!)
        @Sendable nonisolated func call(_ address: SocketAddress) throws -> CInt? {
            let fd = try Peers.connect(address)
            if Peers.sendAll(fd, [Self.echo, 1]), Self.take(1, fd) { return fd }
            close(fd)
            return nil
        }
        var open = try await blockingWork { try (0..<most).compactMap { _ in try call(entry) } }
        let full = serving ? mesh.far.figures("stock") : mesh.near.figures("shop")
        #expect(full == .init(namespace: serving ? "stock" : "shop", flows: most, memory: most * StreamWindow.smallest, refused: [.flows: 0, .rate: 0, .memory: 0]))
        #expect(try await blockingWork { try call(entry) } == nil)
        await mesh.until { mesh.ended.contains { $0.end == .namespaceMemoryLimit } }
        #expect(mesh.ended.contains { $0.end == .namespaceMemoryLimit && $0.direction == (serving ? .tunnel : .outbound) })
        if !serving { open.append(try #require(try await blockingWork { try call(neighbour) })) }
        for fd in open { close(fd) }
        await mesh.allGone()
        close(try #require(try await blockingWork { try call(entry) }))
        await mesh.stop()
    }
}
