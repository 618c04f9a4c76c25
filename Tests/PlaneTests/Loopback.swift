import Glibc
import MeshModel
import Platform
import Reactor
import TLS

@testable import Plane

/// Two nodes of one mesh on loopback.
@Control
final class Loopback {
    let authority = TestAuthority()
    let listener: OwnedFD
    let address: SocketAddress
    private let context: TLSContext

    init(peer: ServerDecision.PeerCertificate = .required) throws {
        listener = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0))
        address = Socket.localAddress(listener.raw)!
        let credential = authority.issue("spiffe://lab/node/b").credential
        context = TLSContext.server(trust: authority.trust, alpn: ["weft-plane/1", "weft-join/1"]) { _ in .accept(credential, peerCertificate: peer) }
    }

    func dial(
        settings: PlaneSettings = PlaneSettings(), credential: Credential? = nil, trust: TrustStore? = nil, alpn: String = "weft-plane/1",
        verify: TLSConnection.Verification = .chain
    ) async throws(MeshError) -> PlaneStream {
        try await PlaneDialer.dial(
            address, serverName: "b.lab", alpn: [alpn], credential: credential ?? authority.issue("spiffe://lab/node/a").credential,
            trust: trust ?? authority.trust, verify: verify,
            mark: 0, settings: settings)
    }

    func accept(settings: PlaneSettings = PlaneSettings()) async throws -> PlaneStream {
        guard try await Wait.ready(listener.raw, .read, until: .now() + .seconds(10)) else { throw Errno(ETIMEDOUT) }
        guard case .accepted(let fd, _) = Socket.accept(listener.raw) else { throw Errno.current }
        var connection = try TLSConnection(server: context, fd: fd)
        while true {
            switch connection.handshake() {
            case .done: return PlaneStream(accepted: connection, settings: settings)
            case .failed(let error): throw error
            case .wantsRead: _ = try await Wait.ready(connection.fd, .read, until: .now() + .seconds(10))
            case .wantsWrite: _ = try await Wait.ready(connection.fd, .write, until: .now() + .seconds(10))
            }
        }
    }

    /// Both ends of one stream: a's and b's.
    func pair(a: PlaneSettings = PlaneSettings(), b: PlaneSettings = PlaneSettings()) async throws -> (PlaneStream, PlaneStream) {
        async let accepted = accept(settings: b)
        let dialled = try await dial(settings: a)
        return (dialled, try await accepted)
    }
}

/// Waits until something is so; false after five seconds.
@Control
func until(_ condition: @Control () -> Bool) async -> Bool {
    for _ in 0..<1000 {
        if condition() { return true }
        await ControlLoop.shared.sleep(.milliseconds(5))
    }
    return condition()
}

extension FrameType {
    static let test = FrameType(rawValue: 0x70)
    static let other = FrameType(rawValue: 0x71)
}
