import Glibc
import Platform
import Reactor
import Testing
import Traffic

@testable import Proxy

/// Ends of flows that are easy to get wrong: nothing that was sent may be lost, nothing may be left behind.
@Suite("Endings", .serialized)
struct EndingTests {
    @Control
    @Test("an answer before a reset arrives: a server that did not want the whole upload", arguments: [true, false])
    func answerBeforeReset(direct: Bool) async throws {
        // Within what the server's kernel has sent by then: the rest it drops with its reset.
        let answer = Peers.pattern(10_000)
        let server = try Peers.server { fd in
            var buffer = [UInt8](repeating: 0, count: 1000)
            _ = read(fd, &buffer, buffer.count)
            Peers.sendAll(fd, answer)
            // Closed with the upload unread: the kernel sends RST right after the answer.
        }
        let mesh = try await Mesh([server], direct: direct)
        let entry = mesh.entry
        let received = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            Peers.sendAside(fd, Peers.pattern(8 << 20), thenEnd: false)
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while case let count = read(fd, &buffer, buffer.count), count > 0 { all += buffer[..<count] }
            return all
        }
        let whole = received == answer
        #expect(whole, "\(received.count) bytes of the answer came")
        #expect(await mesh.ends(1).allSatisfy { $0.end == .serverReset })
        await mesh.stop()
    }

    @Control
    @Test("a caller that half-closed and then died ends its flow at once", arguments: [true, false])
    func resetAfterHalfClose(direct: Bool) async throws {
        let server = try Peers.server { fd in
            _ = Peers.receiveAll(fd)
            sleep(30)
        }
        let mesh = try await Mesh([server], direct: direct)
        let fd = try Peers.connect(mesh.entry)
        shutdown(fd, CInt(SHUT_WR))
        await ControlLoop.shared.sleep(.milliseconds(100))
        Socket.resetOnClose(fd)
        close(fd)
        let ends = await mesh.ends(direct ? 1 : 2)
        #expect(ends.count == (direct ? 1 : 2))
        #expect(ends.allSatisfy { $0.end == .clientReset })
        await mesh.stop()
    }

    @Control
    @Test("a reader that takes nothing after both sides ended is given up by the half-closed timeout", arguments: [true, false])
    func deafReader(direct: Bool) async throws {
        let server = try Peers.server { fd in
            Peers.sendAll(fd, [UInt8](repeating: 7, count: 24 << 20))
            _ = Peers.receiveAll(fd)
        }
        let mesh = try await Mesh([server], direct: direct) {
            $0.timeouts.halfClosed = .milliseconds(400)
            $0.limits.streamWindow = 32 << 20
            $0.limits.tunnelWindow = 64 << 20
        } adjustFar: {
            // The near node is the one that waits for the reader.
            $0.timeouts.halfClosed = .seconds(20)
        }
        // A thousandth of half of it is a window that takes all.
        mesh.near.tenants.setLimits(NamespaceLimits(memory: 64 << 30))
        let fd = try Peers.connect(mesh.entry)
        shutdown(fd, CInt(SHUT_WR))
        await mesh.until(seconds: 20) { mesh.ended.contains { $0.direction == .outbound } }
        #expect(mesh.ended.filter { $0.direction == .outbound }.map(\.end) == [.halfClosedTimeout])
        #expect(await mesh.near.statistics()[0].bufferedBytes == 0)
        close(fd)
        await mesh.stop()
    }

    @Control
    @Test("a flow that was refused in a tunnel is untouched by what else comes for its old stream")
    func triesAgainUntouched() async throws {
        let unknown = SocketAddress("127.0.0.1:1")!
        let server = try Peers.server(Peers.echo)
        let mesh = try await Mesh([unknown, server], local: [server])
        let entry = mesh.entry
        for _ in 0..<4 {
            let answer = try await blockingWork {
                let fd = try Peers.connect(entry)
                defer { close(fd) }
                Peers.sendAll(fd, [1])
                usleep(20_000)
                Peers.sendAll(fd, [2])
                shutdown(fd, CInt(SHUT_WR))
                return Peers.receiveAll(fd)
            }
            #expect(answer == [1, 2])
        }
        await mesh.stop()
    }

    @Control
    @Test("when a pooled tunnel breaks under a request, the request goes to the same endpoint by a new tunnel")
    func asksAgain() async throws {
        // The application accepts late, so that the request is unanswered while the tunnel breaks.
        let listener = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0), backlog: 0)
        let address = Socket.localAddress(listener.raw)!
        // One connection fills the queue; the next waits in its handshake.
        let filler = try Peers.connect(address)
        let mesh = try await Mesh([address])
        let fd = try Peers.connect(mesh.entry)
        await mesh.until { await mesh.far.statistics()[0].liveFlows == 1 }
        Peers.cut(to: mesh.tunnel)
        await mesh.until { await mesh.near.statistics()[0].tunnelsOpened == 2 }
        #expect(await mesh.near.statistics()[0].tunnelsOpened == 2)
        Peers.blocking(listener.raw)
        let raw = listener.raw
        Peers.thread {
            while case let accepted = accept(raw, nil, nil), accepted >= 0 {
                Peers.thread {
                    Peers.echo(accepted)
                    close(accepted)
                }
            }
        }
        let answer = try await blockingWork {
            Peers.sendAll(fd, Array("again".utf8))
            shutdown(fd, CInt(SHUT_WR))
            return Peers.receiveAll(fd)
        }
        #expect(answer == Array("again".utf8))
        close(filler)
        close(fd)
        await mesh.stop()
        shutdown(raw, CInt(SHUT_RDWR))
    }

    @Control
    @Test("what a slow reader has not taken stays within the stream's window, however much passes through")
    func slowReaderStash() async throws {
        let total = 24 << 20
        let server = try Peers.server { fd in Peers.sendAll(fd, Peers.pattern(total)) }
        let mesh = try await Mesh([server])
        let fd = try Peers.connect(mesh.entry)
        var (held, received, buffer) = (0, 0, [UInt8](repeating: 0, count: 96 << 10))
        var correct = true
        let expected = Peers.pattern(total)
        await ControlLoop.shared.sleep(.milliseconds(200))
        while received < total {
            let count = read(fd, &buffer, buffer.count)
            guard count > 0 else { break }
            correct = correct && buffer[..<count] == expected[received..<received + count]
            received += count
            guard received % (1 << 20) < count else { continue }
            let now = await mesh.near.statistics()[0].bufferedBytes
            // The window, while the flow is open.
            let charged = mesh.near.figures("shop").memory
            #expect(now <= charged || charged == 0)
            held = max(held, now)
        }
        #expect(received == total && correct)
        #expect(held > 0 && held <= StreamWindow.largest, "\(held) bytes of memory for one reader")
        close(fd)
        await mesh.stop()
    }
}
