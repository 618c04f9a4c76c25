import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

@Suite("Relay", .serialized)
struct RelayTests {
    @Control
    @Test("every byte arrives, plain and through a tunnel", arguments: [true, false], [1, 100, 65_536, 1 << 20, 64 << 20])
    func bytes(direct: Bool, count: Int) async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], direct: direct)
        let entry = mesh.entry
        let equal = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            let sent = Peers.pattern(count)
            Peers.sendAside(fd, sent, thenEnd: true)
            return Peers.receiveAll(fd) == sent
        }
        #expect(equal)
        let ends = await mesh.ends(direct ? 1 : 2)
        #expect(ends.map(\.end) == Array(repeating: .completed, count: direct ? 1 : 2))
        #expect(ends.allSatisfy { $0.bytesSent == UInt64(count) && $0.bytesReceived == UInt64(count) })
        await mesh.stop()
    }

    @Control
    @Test("where the kernel is to encrypt, OpenSSL has the socket itself, and every byte arrives whether the kernel does or not")
    func kernelTLS() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)]) { $0.kernelTLS = true } adjustFar: { $0.kernelTLS = true }
        let entry = mesh.entry
        let equal = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            let sent = Peers.pattern(20 << 20)
            Peers.sendAside(fd, sent, thenEnd: true)
            return Peers.receiveAll(fd) == sent
        }
        #expect(equal)
        #expect(await mesh.ends(2).map(\.end) == [.completed, .completed])
        await mesh.stop()
    }

    @Control
    @Test("a half-closed upload is answered after its end", arguments: [true, false])
    func halfClose(direct: Bool) async throws {
        let server = try Peers.server { fd in
            let count = Peers.receiveAll(fd)?.count ?? -1
            Peers.sendAll(fd, Array("\(count)".utf8))
        }
        let mesh = try await Mesh([server], direct: direct)
        let entry = mesh.entry
        let answer = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            Peers.sendAll(fd, Peers.pattern(300_000))
            shutdown(fd, CInt(SHUT_WR))
            return Peers.receiveAll(fd).map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(answer == "300000")
        await mesh.stop()
    }

    @Control
    @Test("a reset of the application reaches the caller as a reset", arguments: [true, false])
    func reset(direct: Bool) async throws {
        let server = try Peers.server { fd in
            var byte: UInt8 = 0
            _ = read(fd, &byte, 1)
            Socket.resetOnClose(fd)
        }
        let mesh = try await Mesh([server], direct: direct)
        let entry = mesh.entry
        let result = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            Peers.sendAll(fd, [1])
            var byte: UInt8 = 0
            let count = read(fd, &byte, 1)
            return count < 0 ? Errno.current.code : CInt(count)
        }
        #expect(result == ECONNRESET)
        #expect(await mesh.ends(1).contains { $0.end == .serverReset })
        await mesh.stop()
    }

    @Control
    @Test("a silent half-closed flow ends by its timeout, and is counted so")
    func halfClosedTimeout() async throws {
        let server = try Peers.server { fd in
            _ = Peers.receiveAll(fd)
            sleep(30)
        }
        let mesh = try await Mesh([server], direct: true) { $0.timeouts.halfClosed = .milliseconds(300) }
        let entry = mesh.entry
        let fd = try Peers.connect(entry)
        shutdown(fd, CInt(SHUT_WR))
        #expect(await mesh.ends(1).map(\.end) == [.halfClosedTimeout])
        close(fd)
        await mesh.stop()
    }

    @Control
    @Test("a slow reader stops the sender within the bound, and gets every byte")
    func backpressure() async throws {
        let total = 32 << 20
        let server = try Peers.server { fd in Peers.sendAll(fd, Peers.pattern(total)) }
        let mesh = try await Mesh([server])
        let entry = mesh.entry
        let fd = try Peers.connect(entry)
        await ControlLoop.shared.sleep(.milliseconds(500))
        let held = await mesh.near.statistics().map(\.bufferedBytes).reduce(0, +)
        #expect(held <= 512 << 10, "one stream window may wait for the reader, not \(held) bytes")
        let equal = try await blockingWork { Peers.receiveAll(fd) == Peers.pattern(total) }
        #expect(equal)
        close(fd)
        await mesh.stop()
    }
}
