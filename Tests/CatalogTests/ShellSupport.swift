import Glibc
import Identity
import Logging
import MeshModel
import Plane
import Platform
import Reactor
import TLS
import Testing

@testable import Catalog
@testable import Identity

/// A directory that is gone after the test.
final class ScratchDirectory: Sendable {
    let path: String
    init() {
        var template = Array("/tmp/weft-catalog-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { preconditionFailure("no directory under /tmp: \(Errno.current)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    deinit {
        for name in ["generation.json", "registered.json"] {
            unlink("\(path)/catalog/\(name)")
            unlink("\(path)/catalog/\(name).new")
        }
        for name in IdentityStore.names(in: "\(path)/catalog/remote") { unlink("\(path)/catalog/remote/\(name)") }
        rmdir("\(path)/catalog/remote")
        rmdir("\(path)/catalog")
        rmdir(path)
    }
}

/// A mesh's root, and certificates for whoever a test needs.
struct TestMesh: Sendable {
    static let trustDomain = "shop.example"
    let authority: MeshAuthority

    init() throws { authority = try MeshAuthority(creating: Self.trustDomain, now: .now()) }

    func credentials(_ name: String, validFor: Duration? = nil) throws -> CredentialSet {
        var authority = self.authority
        if let validFor { authority.lifetimes.leaf = validFor }
        let key = PrivateKey()
        let identity = try #require(SPIFFEID(trustDomain: Self.trustDomain, node: name))
        let certificate = try authority.issue(SigningRequest.verify(SigningRequest.make(identity, key: key)), now: .now())
        let stored = StoredIdentity(
            mesh: MeshRecord(trustDomain: Self.trustDomain, node: name, authority: "ca", authorityAddresses: [], seeds: [], allow: []),
            node: KeyPair(key: key, certificate: certificate.der),
            bundle: try TrustBundle(trustDomain: Self.trustDomain, rootsDER: [authority.rootDER], path: "test"),
            gossip: try GossipKeyring(keys: [[UInt8](repeating: 7, count: 32)]))
        return try CredentialSet(stored, previous: nil, at: .now())
    }
}

/// A catalog with a listener on a loopback port, as the agent has it.
@Control
final class TestAgent {
    let name: String
    let credentials: CredentialSet
    let address: SocketAddress
    let catalog: Catalog
    private let listener: OwnedFD
    private var watch: WatchID?
    private(set) var accepted = 0
    private(set) var views: [CatalogView] = []
    private(set) var events: [CatalogEvent] = []
    private(set) var lost: [String] = []

    init(_ name: String, _ mesh: TestMesh, _ scratch: ScratchDirectory, credentials: CredentialSet? = nil, _ change: (inout CatalogConfiguration) -> Void = { _ in }) throws {
        self.name = name
        self.credentials = try credentials ?? mesh.credentials(name)
        listener = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0))
        address = try #require(Socket.localAddress(listener.raw))
        var configuration = CatalogConfiguration(
            info: NodeInfo(name: name, tunnel: address, version: "test"), trustDomain: TestMesh.trustDomain, directory: "\(scratch.path)/catalog",
            mark: 0)
        configuration.limits.allowLoopback = true
        configuration.exchange = .milliseconds(500)
        configuration.save = .milliseconds(50)
        change(&configuration)
        catalog = Catalog(configuration, logger: Logger(label: "test.\(name)") { _ in SwiftLogNoOpLogHandler() })
        catalog.onChange = { [unowned self] in views.append($0) }
        catalog.onEvent = { [unowned self] in events.append($0) }
        catalog.onStreamLost = { [unowned self] in lost.append($0) }
    }

    func start(seeds: [SocketAddress] = []) async throws {
        try await catalog.start(credentials)
        watch = try ControlLoop.shared.watch(listener.raw, .read) { [unowned self] _ in accept() }
        catalog.setSeeds(seeds)
    }

    func stop() async {
        stopListening()
        await catalog.stop()
        catalog.onChange = nil
        catalog.onEvent = nil
        catalog.onStreamLost = nil
    }
    func stopListening() {
        if let watch { ControlLoop.shared.unwatch(watch) }
        watch = nil
    }

    private func accept() {
        guard case .accepted(let socket, _) = Socket.accept(listener.raw) else { return }
        accepted += 1
        let credential = credentials.node
        let context = TLSContext.server(trust: credentials.trust, alpn: [IdentityProtocol.plane]) { _ in
            .accept(credential, peerCertificate: .required)
        }
        guard let connection = try? TLSConnection(server: context, fd: socket) else { return }
        shake(Box(connection), context)
    }
    private final class Box {
        var connection: TLSConnection?
        init(_ connection: consuming TLSConnection) { self.connection = consume connection }
    }
    private func shake(_ box: Box, _ context: TLSContext) {
        switch box.connection!.handshake() {
        case .done:
            let stream = PlaneStream(accepted: box.connection.take()!)
            catalog.accept(stream)
            stream.start()
        case .failed: break
        case .wantsRead, .wantsWrite: ControlLoop.shared.after(.milliseconds(1)) { [weak self] in self?.shake(box, context) }
        }
    }

    func instance(_ service: String, port: UInt16 = 80, at address: String, version: String = "", check: EndpointCheck = EndpointCheck(kind: .none))
        -> LocalInstance
    {
        let name = ServiceName(service)!
        return LocalInstance(
            service: name, port: port, address: SocketAddress(address)!,
            identity: SPIFFEID(trustDomain: TestMesh.trustDomain, namespace: name.namespace, account: name.name)!, version: version, check: check)
    }

    func sees(_ service: String) -> [CatalogView.EndpointView] { catalog.view.service(ServiceName(service)!).map { Array($0.endpoints) } ?? [] }
}

/// A listening socket that can die and return.
@Control
final class Listener {
    private var fd: OwnedFD?
    let address: SocketAddress?

    init() throws {
        let fd = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0))
        address = Socket.localAddress(fd.raw)
        self.fd = consume fd
    }
    func open(_ address: SocketAddress) throws { fd = try Socket.tcpListener(address) }
    func close() { fd = nil }
}

/// Waits until the condition holds, for at most ten seconds.
@Control
func until(_ what: String, _ condition: @Control () -> Bool) async {
    for _ in 0..<2_000 {
        if condition() { return }
        await ControlLoop.shared.sleep(.milliseconds(5))
    }
    Issue.record("it did not happen: \(what)")
}
