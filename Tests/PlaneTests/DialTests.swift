import Glibc
import MeshModel
import Platform
import Reactor
import TLS
import Testing

@testable import Plane

@Suite @Control struct `Dialling` {
    @Test func `a port where nobody listens is named`() async throws {
        let loopback = try Loopback()
        // Bound and not listening: nobody else can take the port meanwhile.
        let bound = OwnedFD(consuming: socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
        #expect(SocketAddress(.loopbackV4, port: 0).withSockaddr { bind(bound.raw, $0, $1) } == 0)
        let address = Socket.localAddress(bound.raw)!
        let error = await dial(address, loopback)
        #expect(error?.code == "plane_connect_refused", "\(String(describing: error))")
        #expect(error?.message == "nothing listens on port \(address.port) of 127.0.0.1")
    }

    @Test func `a port that swallows packets is named as a firewall's doing`() async throws {
        let loopback = try Loopback()
        // A listener whose backlog is full drops further SYNs, as a firewall would.
        let full = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0), backlog: 0)
        let address = Socket.localAddress(full.raw)!
        let first = try Socket.connect(to: address), second = try Socket.connect(to: address)
        await ControlLoop.shared.sleep(.milliseconds(50))
        let error = await dial(address, loopback)
        #expect(error?.code == "plane_connect_timeout")
        #expect(error?.remedy.contains("firewall") == true)
        _ = (first.raw, second.raw, full.raw)
    }

    @Test func `a peer that accepts and stays silent is told from one that does not answer`() async throws {
        let loopback = try Loopback()
        let silent = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0))
        let error = await dial(Socket.localAddress(silent.raw)!, loopback)
        #expect(error?.code == "plane_handshake_timeout", "\(String(describing: error))")
        _ = silent.raw
    }

    @Test func `a node of another mesh is refused with both names of the cause`() async throws {
        let loopback = try Loopback()
        async let accepted = try? loopback.accept()
        do throws(MeshError) {
            _ = try await loopback.dial(trust: TestAuthority("Other Root").trust)
            Issue.record("accepted")
        } catch {
            #expect(error.code == "unknown_issuer")
            #expect(error.message.contains("127.0.0.1") && error.message.contains("spiffe://lab/node/b"))
        }
        let other = await accepted
        #expect(other == nil)
    }

    @Test func `a join sees the chain before it sends anything`() async throws {
        let loopback = try Loopback(peer: .optional)
        async let accepted = loopback.accept()
        let stream = try await PlaneDialer.dial(
            loopback.address, serverName: nil, alpn: ["weft-join/1"], credential: nil, trust: TestAuthority("Other Root").trust, verify: .none,
            mark: 0)
        #expect(stream.peerChainDER.count == 1)
        #expect(stream.alpn == "weft-join/1")
        let server = try await accepted
        #expect(server.peerURIs.isEmpty && server.alpn == "weft-join/1")
        stream.close("done")
        server.close("done")
    }

    private func dial(_ address: SocketAddress, _ loopback: Loopback) async -> MeshError? {
        var settings = PlaneSettings()
        settings.connectTimeout = .milliseconds(300)
        settings.handshakeTimeout = .milliseconds(300)
        do throws(MeshError) {
            _ = try await PlaneDialer.dial(
                address, serverName: nil, alpn: ["weft-plane/1"], credential: nil, trust: loopback.authority.trust, mark: 0, settings: settings)
            return nil
        } catch {
            return error
        }
    }
}
