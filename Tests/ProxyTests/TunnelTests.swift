import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

@Suite("Tunnels", .serialized)
struct TunnelTests {
    @Control
    private func call(_ mesh: Mesh) async throws -> String? {
        let entry = mesh.entry
        return try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            Peers.sendAll(fd, Array("hello".utf8))
            shutdown(fd, CInt(SHUT_WR))
            return Peers.receiveAll(fd).map { String(decoding: $0, as: UTF8.self) }
        }
    }

    @Control
    @Test("200 concurrent flows share one tunnel and carry both identities")
    func shared() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)])
        try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<200 { group.addTask { try await call(mesh) } }
            for try await answer in group { #expect(answer == "hello") }
        }
        let ends = await mesh.ends(400)
        #expect(ends.allSatisfy { $0.end == .completed && mesh.names[$0.sourceIdentity] == Certificates.identity("client") })
        #expect(ends.allSatisfy { mesh.names[$0.destinationIdentity] == Certificates.identity("server") })
        #expect(await mesh.near.statistics().map(\.tunnelsOpened) == [1])
        await mesh.stop()
        #expect(mesh.ended.count == 400)
    }

    @Control
    @Test("thousands of callers that go away before they are answered don't cost the others their tunnel", .timeLimit(.minutes(1)))
    func hastyCallers() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)])
        #expect(try await call(mesh) == "hello")
        let entry = mesh.entry
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    try await blockingWork {
                        for _ in 0..<750 {
                            let fd = try Peers.connect(entry)
                            Socket.resetOnClose(fd)
                            close(fd)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        await mesh.until { await mesh.sum(\.liveFlows) == 0 }
        #expect(await mesh.sum(\.liveFlows) == 0)
        #expect(try await call(mesh) == "hello")
        #expect(await mesh.sum(\.floods.count) == 0)
        let near = await mesh.near.statistics()[0]
        #expect(near.tunnelsOpened == near.liveTunnels, "none was closed")
        #expect(near.ends[Int(FlowEnd.clientReset.rawValue)] > 2000)
        await mesh.stop()
    }

    @Control
    @Test("an instance that refuses is passed over before the caller sees anything")
    func failover() async throws {
        let dead = try Peers.freePort()
        let mesh = try await Mesh([dead, try Peers.server(Peers.echo)])
        for _ in 0..<6 { #expect(try await call(mesh) == "hello") }
        let far = await mesh.ends(9).filter { $0.direction == .tunnel && $0.end == .connectRefused }
        #expect(far.count >= 2, "the refused attempts are on record at the far node")
        await mesh.stop()
    }

    @Control
    @Test("endpoints of the node itself take turns with the others, unless they are preferred", arguments: [false, true])
    func preferLocal(preferred: Bool) async throws {
        let nearby = try Peers.server { fd in
            _ = Peers.receiveAll(fd)
            Peers.sendAll(fd, Array("near".utf8))
        }
        let mesh = try await Mesh([try Peers.server(Peers.echo)], near: nearby) { $0.preferLocal = preferred }
        var answers: [String: Int] = [:]
        for _ in 0..<6 { answers[try await call(mesh) ?? "none", default: 0] += 1 }
        #expect(answers == (preferred ? ["near": 6] : ["near": 3, "hello": 3]))
        await mesh.stop()
    }

    @Control
    @Test("a preferred endpoint of the node that refuses is passed over for another node's")
    func preferLocalFails() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], near: try Peers.freePort()) { $0.preferLocal = true }
        for _ in 0..<3 { #expect(try await call(mesh) == "hello") }
        await mesh.stop()
    }

    @Control
    @Test("a server that proves another identity gets nothing")
    func wrongServer() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], expected: "other")
        #expect(try await call(mesh) == nil)
        #expect(await mesh.ends(1).map(\.end) == [.tunnelIdentityMismatch])
        #expect(mesh.problems.contains { $0.code == "tls_identity_mismatch" })
        await mesh.stop()
    }

    @Control
    @Test("an address that is no endpoint of the node is refused: no open relay")
    func noOpenRelay() async throws {
        let elsewhere = try Peers.server(Peers.echo)
        let mesh = try await Mesh([elsewhere], local: [])
        #expect(try await call(mesh) == nil)
        let ends = await mesh.ends(2)
        #expect(ends.contains { $0.direction == .tunnel && $0.end == .notLocalEndpoint })
        #expect(ends.contains { $0.direction == .outbound && $0.end == .tunnelRefused })
        await mesh.stop()
    }

    @Control
    @Test("when the other node goes away, running flows end at once")
    func lost() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)])
        let fd = try Peers.connect(mesh.entry)
        Peers.sendAll(fd, [7])
        let entry = fd
        _ = try await blockingWork { var byte: UInt8 = 0; return read(entry, &byte, 1) }
        await mesh.far.drain(grace: .zero)
        let count = try await blockingWork { var byte: UInt8 = 0; return read(entry, &byte, 1) }
        #expect(count <= 0)
        close(fd)
        #expect(await mesh.ends(2).contains { $0.direction == .outbound && $0.end != .completed })
        await mesh.near.drain(grace: .zero)
    }

    @Test(
        "the forwarded header gives the source",
        arguments: [
            ("for=\"192.0.2.7:1234\"", "192.0.2.7:1234"), ("for=192.0.2.7", "192.0.2.7:0"), ("For=\"[2001:db8::7]:80\";host=x", "[2001:db8::7]:80"),
            ("by=1;for=\"[2001:db8::7]\"", "[2001:db8::7]:0"), ("for=unknown", nil), ("", nil), ("for=\"", nil),
        ])
    func forwarded(header: String, expected: String?) {
        #expect(Forwarded.source(header)?.description == expected)
    }
}
