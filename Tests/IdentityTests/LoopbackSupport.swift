import Glibc
import MeshModel
import Plane
import Platform
import Reactor
import TLS
import Testing

@testable import Identity

/// One node of a test: its identity and a listener on a loopback port that serves joins and plane streams, as the agent does.
@Control
final class TestNode {
    let scratch = Scratch()
    let identity: NodeIdentity
    let server: JoinServer
    let address: SocketAddress
    private let listener: OwnedFD
    private var watch: WatchID?
    /// What the server shows on `weft-join/1`, when not its own.
    var shown: Credential?
    /// Payload frames that joiners sent, whatever the answer.
    private(set) var connections = 0
    private(set) var received: UInt64 = 0
    private(set) var changes: [CredentialSet?] = []
    private var streams: [PlaneStream] = []

    init(clock: TestClock, link: (any AuthorityLink)? = nil, lifetimes: CertificateLifetimes = CertificateLifetimes(), directory: String? = nil)
        throws
    {
        listener = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0))
        address = try #require(Socket.localAddress(listener.raw))
        var options = NodeIdentity.Options()
        options.lifetimes = lifetimes
        identity = NodeIdentity(
            store: IdentityStore(directory: directory ?? scratch.file("state")), link: link ?? PlaneLink(mark: 0, clock: clock.read),
            options: options, clock: clock.read)
        server = JoinServer(identity)
        identity.onChange = { [unowned self] in changes.append($0) }
        watch = try ControlLoop.shared.watch(listener.raw, .read) { [unowned self] _ in accept() }
    }

    /// The loop holds closures with the node unowned: end it before it goes away.
    func stop() {
        if let watch { ControlLoop.shared.unwatch(watch) }
        watch = nil
        for stream in streams { stream.close("test over") }
        identity.onChange = nil
    }

    private func accept() {
        guard case .accepted(let socket, _) = Socket.accept(listener.raw) else { return }
        connections += 1
        guard let credentials = identity.credentials else { return }
        let join = shown ?? credentials.join ?? credentials.node
        let context = TLSContext.server(trust: credentials.trust, alpn: [IdentityProtocol.plane, IdentityProtocol.join]) { hello in
            hello.selectedALPN == IdentityProtocol.join
                ? .accept(join, peerCertificate: .optional) : .accept(credentials.node, peerCertificate: .required)
        }
        guard let connection = try? TLSConnection(server: context, fd: socket) else { return }
        shake(Box(connection), context)
    }

    private final class Box {
        var connection: TLSConnection?
        init(_ connection: consuming TLSConnection) { self.connection = consume connection }
    }

    /// Polls the handshake: short, and only in tests.
    private func shake(_ box: Box, _ context: TLSContext) {
        switch box.connection!.handshake() {
        case .done: serve(box.connection.take()!)
        case .failed: break
        case .wantsRead, .wantsWrite: ControlLoop.shared.after(.milliseconds(1)) { [weak self] in self?.shake(box, context) }
        }
    }

    private func serve(_ connection: consuming TLSConnection) {
        if connection.alpn == IdentityProtocol.join { return server.serveJoin(connection) }
        let stream = PlaneStream(accepted: connection)
        streams.append(stream)
        server.register(on: stream)
        stream.start()
    }

    /// Waits until `condition` holds, for at most thirty seconds.
    func until(_ what: String, _ condition: @Control () -> Bool) async {
        for _ in 0..<6_000 {
            if condition() { return }
            await ControlLoop.shared.sleep(.milliseconds(5))
        }
        Issue.record("it did not happen: \(what)")
    }
}

/// An authority without a network: calls the service directly, and can be broken.
@Control
final class MemoryLink: AuthorityLink {
    var service: AuthorityService?
    var failure: MeshError?
    private(set) var asked = 0
    /// Runs before an answer is given.
    var delay: Duration = .zero

    nonisolated init() {}

    @Control func join(_ request: JoinRequest, token: JoinToken) async throws(MeshError) -> (reply: JoinReply, root: [UInt8]) {
        guard failure == nil, let service else { throw failure ?? MeshError(.peer, code: "plane_unreachable", "no authority") }
        return (await service.handleJoin(request, seeds: []), service.authority.rootDER)
    }

    @Control func sign(_ request: SignRequest, as identity: StoredIdentity) async throws(MeshError) -> SignReply {
        asked += 1
        if delay > .zero { await ControlLoop.shared.sleep(delay) }
        guard failure == nil, let service else { throw failure ?? MeshError(.peer, code: "plane_unreachable", "no authority") }
        return await service.handleSign(request, peerLeaf: identity.node.certificate)
    }

    @Control func recover(_ request: RecoverRequest, as identity: StoredIdentity) async throws(MeshError) -> SignReply {
        guard failure == nil, let service else { throw failure ?? MeshError(.peer, code: "plane_unreachable", "no authority") }
        return await service.handleRecover(request)
    }
}
