import FoundationEssentials
import Glibc
import MeshModel
import Platform
import Synchronization
import Testing
import X509

@testable import Identity

/// A clock that a test sets.
final class TestClock: Sendable {
    private let time: Mutex<WallTime>
    init(_ time: WallTime = .now()) { self.time = Mutex(WallTime(seconds: time.seconds)) }
    var now: WallTime {
        get { time.withLock { $0 } }
        set { time.withLock { $0 = newValue } }
    }
    func advance(_ duration: Duration) { time.withLock { $0 = $0 + duration } }
    var read: @Sendable () -> WallTime { { self.now } }
}

/// A directory that goes away with the value.
final class Scratch: Sendable {
    let path: String
    init() {
        var template = Array("/tmp/weft-identity-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    func file(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ text: String, _ name: String) { write(Array(text.utf8), name) }
    func write(_ bytes: [UInt8], _ name: String) { #expect(FileManager.default.createFile(atPath: file(name), contents: Data(bytes))) }
}

/// The code of the error that `body` must throw, or a failed expectation.
func code<T>(_ body: () throws(MeshError) -> T) -> String? {
    do throws(MeshError) {
        _ = try body()
        return nil
    } catch {
        return error.code
    }
}

/// Runs a real program. Its output, both streams, and its exit status.
func run(_ program: String, _ arguments: [String]) -> (status: Int32, output: String) {
    var pipes: [Int32] = [0, 0]
    #expect(pipe(&pipes) == 0)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1)
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 2)
    posix_spawn_file_actions_addclose(&actions, pipes[0])
    var child: pid_t = 0
    var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
    argv.append(nil)
    defer { for pointer in argv { free(pointer) } }
    let started = posix_spawnp(&child, program, &actions, nil, argv, environ)
    posix_spawn_file_actions_destroy(&actions)
    close(pipes[1])
    guard started == 0 else {
        close(pipes[0])
        return (-1, "\(program) cannot be run")
    }
    var output: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = read(pipes[0], &chunk, chunk.count)
        if count <= 0 { break }
        output += chunk[..<count]
    }
    close(pipes[0])
    var status: Int32 = 0
    waitpid(child, &status, 0)
    return (status & 0x7f == 0 ? status >> 8 & 0xff : -2, String(decoding: output, as: UTF8.self))
}

/// A mesh with its authority on node "a", on disk.
struct TestMesh {
    let scratch = Scratch()
    let clock: TestClock
    let store: IdentityStore
    let mesh: MeshRecord
    let key: PrivateKey
    let service: AuthorityService

    init(trustDomain: String = "mesh.test", clock: TestClock = TestClock(), lifetimes: CertificateLifetimes = CertificateLifetimes()) throws {
        self.clock = clock
        store = IdentityStore(directory: scratch.file("a"))
        mesh = MeshRecord(trustDomain: trustDomain, node: "a", authority: "a", authorityAddresses: ["192.0.2.1:15008"], seeds: [], allow: [.any])
        let founded = try Founding.found(mesh, store: store, lifetimes: lifetimes, now: clock.now)
        key = founded.node.key
        service = try AuthorityService(
            store.loadAuthority(trustDomain, lifetimes: lifetimes), mesh: mesh, store: store, clock: clock.read)
    }

    var bundle: TrustBundle { get throws { try TrustBundle(trustDomain: mesh.trustDomain, rootsDER: [service.authority.rootDER], path: "root") } }

    /// The service as a restarted agent would have it.
    func restarted() throws -> AuthorityService {
        try AuthorityService(store.loadAuthority(mesh.trustDomain, lifetimes: CertificateLifetimes()), mesh: mesh, store: store, clock: clock.read)
    }

    func request(_ token: JoinToken, key: PrivateKey = PrivateKey(), node: String? = nil, replace: Bool = false) throws -> JoinRequest {
        let identity = SPIFFEID(trustDomain: token.trustDomain, node: node ?? token.node)!
        return JoinRequest(token: token, request: try SigningRequest.make(identity, key: key), replace: replace, now: clock.now)
    }

    /// Joins a node and gives what it would have.
    func join(_ node: String, allow: [String], replace: Bool = false) async throws -> (key: PrivateKey, grant: JoinGrant) {
        let token = try await service.createToken(node: node, allow: allow, lifetime: .seconds(600), replace: replace)
        let key = PrivateKey()
        let reply = await service.handleJoin(try request(token, key: key), seeds: [])
        return (key, try reply.result())
    }

    func id(_ path: String) -> SPIFFEID { SPIFFEID("spiffe://\(mesh.trustDomain)/\(path)")! }
}
