import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

@Suite("Descriptors", .serialized)
struct DescriptorTests {
    @Control
    @Test("connections are refused before the last descriptors are used up, and counted")
    func ceiling() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], direct: true) { $0.limits.descriptors = 3 }
        let entry = mesh.entry
        let count = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            var byte: UInt8 = 0
            return read(fd, &byte, 1)
        }
        #expect(count <= 0)
        let ends = await mesh.near.statistics().map { $0.ends[Int(FlowEnd.descriptorLimit.rawValue)] }
        #expect(ends == [1])
        await mesh.stop()
    }
}
