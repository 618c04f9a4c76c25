import Glibc
import MeshModel
import Platform
import Reactor
import TLS

/// Opens streams to other nodes.
package enum PlaneDialer {
    @Control private static var lastContext: (trust: TrustStore, context: TLSContext)?

    /// Connects, shakes hands and returns the stream, on which nothing was sent or read yet: register handlers, then `start`.
    ///
    /// - Parameters:
    ///   - verify: `.none` only for a join, which pins the root's fingerprint against `peerChainDER` before it sends anything.
    ///   - mark: SO_MARK of the socket, so that capture skips it.
    /// - Throws: a failure with its remedy; the codes are `plane_connect_timeout`, `plane_connect_refused`, `plane_unreachable`, `plane_connect`,
    ///   `plane_handshake_timeout`, and those of `TLSError`. The identity of the peer is for the caller to check (`peerURIs`).
    @Control
    package static func dial(
        _ address: SocketAddress, serverName: String?, alpn: [String], credential: Credential?, trust: TrustStore,
        verify: TLSConnection.Verification = .chain,
        mark: UInt32, settings: PlaneSettings = PlaneSettings()
    ) async throws(MeshError) -> PlaneStream {
        let socket = try await connect(address, mark: mark, timeout: settings.connectTimeout)
        var connection: TLSConnection
        do {
            connection = try TLSConnection(
                client: context(for: trust), fd: socket, serverName: serverName, alpn: alpn, credential: credential, verify: verify)
        } catch {
            throw MeshError(error, with: address)
        }
        let deadline = MonotonicTime.now() + settings.handshakeTimeout
        while true {
            let interest: Interest
            switch connection.handshake() {
            case .done: return PlaneStream(connection, peer: address, settings: settings)
            case .failed(let error): throw MeshError(error, with: address)
            case .wantsRead: interest = .read
            case .wantsWrite: interest = .write
            }
            guard try await ready(connection.fd, interest, until: deadline, address) else {
                throw MeshError(
                    .peer, code: "plane_handshake_timeout",
                    "\(address) accepted the connection but did not finish the TLS handshake within \(settings.handshakeTimeout)",
                    remedy: "is it a Weft node, and is it overloaded?", retryable: true)
            }
        }
    }

    @Control
    private static func connect(_ address: SocketAddress, mark: UInt32, timeout: Duration) async throws(MeshError) -> OwnedFD {
        let socket: OwnedFD
        do {
            socket = try Socket.connect(to: address, mark: mark)
        } catch {
            throw failure(error, address)
        }
        guard try await ready(socket.raw, .write, until: MonotonicTime.now() + timeout, address) else {
            throw MeshError(
                .peer, code: "plane_connect_timeout", "port \(address.port) on \(address.ip) did not answer within \(timeout)",
                remedy: "is a firewall between the nodes, or the node down?", retryable: true)
        }
        if let error = Socket.error(socket.raw) { throw failure(error, address) }
        return socket
    }

    @Control
    private static func ready(_ fd: CInt, _ interest: Interest, until deadline: MonotonicTime, _ address: SocketAddress) async throws(MeshError)
        -> Bool
    {
        do {
            return try await Wait.ready(fd, interest, until: deadline)
        } catch {
            throw failure(error, address)
        }
    }

    @Control
    private static func context(for trust: TrustStore) -> TLSContext {
        if let lastContext, lastContext.trust === trust { return lastContext.context }
        let context = TLSContext.client(trust: trust)
        lastContext = (trust, context)
        return context
    }

    private static func failure(_ error: Errno, _ address: SocketAddress) -> MeshError {
        switch error.code {
        case ECONNREFUSED:
            MeshError(
                .peer, code: "plane_connect_refused", "nothing listens on port \(address.port) of \(address.ip)",
                remedy: "is weftd running there, and is this its tunnel port?",
                retryable: true)
        case ETIMEDOUT:
            MeshError(
                .peer, code: "plane_connect_timeout", "port \(address.port) on \(address.ip) did not answer",
                remedy: "is a firewall between the nodes, or the node down?",
                retryable: true)
        case EHOSTUNREACH, ENETUNREACH:
            MeshError(
                .peer, code: "plane_unreachable", "there is no way to \(address.ip): \(Errno.message(error.code))",
                remedy: "see `ip route get \(address.ip)`", retryable: true)
        default:
            MeshError(.kernel, code: "plane_connect", "connecting to \(address) failed: \(error)", retryable: true)
        }
    }
}
