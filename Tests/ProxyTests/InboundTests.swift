import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

@Suite("The inbound listener", .serialized, .enabled(if: getuid() == 0 || getenv("CI").map { String(cString: $0) } == "true", "needs root: its sockets are transparent"))
struct InboundTests {
    @Test("ends a connection that was made to its own port, and goes on")
    @Control
    func loop() async throws {
        let port = try ReservedPort()
        let address = port.address
        let mesh = try await Mesh([SocketAddress(.loopbackV4, port: 9)], adjust: { $0.inbound = [address] })
        for count in 1...3 {
            let answered = try await blockingWork {
                let client = try Socket.connect(to: address)
                var poll = pollfd(fd: client.raw, events: Int16(POLLIN), revents: 0)
                guard Glibc.poll(&poll, 1, 5000) == 1 else { return "silence" }
                var byte: UInt8 = 0
                return Socket.read(client.raw, &byte, 1) == .failed(Errno(ECONNRESET)) ? "reset" : "something else"
            }
            #expect(answered == "reset")
            let ends = await mesh.ends(count)
            #expect(ends.count == count && ends.last?.end == .loop && ends.last?.direction == .inbound && ends.last?.destination == address)
        }
        await mesh.stop()
    }
}
