import Glibc
import Platform
import TLS
import Testing

/// The openssl program as the other end, over TCP on loopback.
@Suite(.enabled(if: Program.exists, "the openssl program is not installed")) struct `TLS with a real peer` {
    let authority = TestAuthority()

    @Test func `openssl s_client opens a connection to us`() throws {
        let files = try Files(authority.issue("spiffe://lab/ns/default/sa/openssl"), authority)
        let (listener, port) = listen()
        let program = try Program(
            ["s_client", "-connect", "127.0.0.1:\(port)", "-servername", "reviews.default.lab", "-alpn", "h2", "-quiet", "-verify_return_error"]
                + files.arguments, input: "hello from openssl\n")
        let answering = server(authority.trust, authority.issue().credential)
        var connection = try TLSConnection(server: answering, fd: accept(listener))
        let failure = finish(&connection)
        #expect(failure == nil)
        let uris = connection.peerURIs
        #expect(uris == ["spiffe://lab/ns/default/sa/openssl"])
        let line = receive(&connection, until: 10)
        #expect(line == "hello from openssl\n")
        _ = write(&connection, Array("and back\n".utf8))
        connection.shutdown()
        #expect(program.output().contains("and back"))
    }

    @Test func `we open a connection to openssl s_server`() throws {
        let files = try Files(authority.issue("spiffe://lab/ns/default/sa/openssl"), authority)
        let port = freePort()
        let program = try Program(
            ["s_server", "-accept", "\(port)", "-alpn", "h2", "-Verify", "2", "-verify_return_error", "-quiet", "-naccept", "1", "-rev"]
                + files.arguments, input: nil)
        var connection = try TLSConnection(
            client: .client(trust: authority.trust), fd: connect(port), serverName: "reviews.default.lab", alpn: ["h2"],
            credential: authority.issue().credential)
        let failure = finish(&connection)
        #expect(failure == nil)
        let alpn = connection.alpn
        #expect(alpn == "h2")
        // -rev answers each line reversed.
        _ = write(&connection, Array("weft\n".utf8))
        let line = receive(&connection, until: 10)
        #expect(line == "tfew\n")
        connection.shutdown()
        _ = program.output()
    }

    @Test func `a peer that speaks only TLS 1.2 is refused and named, as server and as client`() throws {
        let files = try Files(authority.issue(), authority)
        let (listener, port) = listen()
        let client = try Program(["s_client", "-connect", "127.0.0.1:\(port)", "-tls1_2", "-alpn", "h2"] + files.arguments, input: "")
        let answering = server(authority.trust, authority.issue().credential)
        var accepted = try TLSConnection(server: answering, fd: accept(listener))
        let refusal = finish(&accepted)
        #expect(refusal?.code == .protocolVersion)
        _ = consume accepted
        #expect(client.output().contains("alert protocol version"))

        let other = freePort()
        let server = try Program(["s_server", "-accept", "\(other)", "-tls1_2", "-quiet", "-naccept", "1"] + files.arguments, input: nil)
        var connection = try TLSConnection(
            client: .client(trust: authority.trust), fd: connect(other), serverName: nil, alpn: ["h2"], credential: nil)
        let error = finish(&connection)
        #expect(error?.code == .protocolVersion || error?.alert == 70, "\(String(describing: error))")
        _ = consume connection
        _ = server.output()
    }

    // MARK: Helpers

    private func finish(_ connection: inout TLSConnection) -> TLSError? {
        while true {
            var wanted: Int32
            switch connection.handshake() {
            case .done: return nil
            case .failed(let error): return error
            case .wantsRead: wanted = POLLIN
            case .wantsWrite: wanted = POLLOUT
            }
            guard wait(connection.fd, wanted) else { return TLSError(.network, "timed out") }
        }
    }

    private func receive(_ connection: inout TLSConnection, until last: UInt8) -> String {
        var all: [UInt8] = []
        while all.last != last {
            let (result, bytes) = read(&connection)
            all += bytes
            switch result {
            case .bytes: continue
            case .wantsRead: guard wait(connection.fd, POLLIN) else { return "timed out" }
            default: return "\(result)"
            }
        }
        return String(decoding: all, as: UTF8.self)
    }

    private func wait(_ fd: CInt, _ events: Int32) -> Bool {
        var entry = pollfd(fd: fd, events: Int16(events), revents: 0)
        return poll(&entry, 1, 10_000) == 1
    }

    private func listen() -> (CInt, UInt16) {
        let fd = stream()
        precondition(SocketAddress(.loopbackV4, port: 0).withSockaddr { bind(fd, $0, $1) } == 0)
        precondition(Glibc.listen(fd, 8) == 0)
        let port = SocketAddress.filled { getsockname(fd, $0, $1) }!.port
        return (fd, port)
    }

    private func freePort() -> UInt16 {
        let (fd, port) = listen()
        close(fd)
        return port
    }

    private func stream() -> CInt { socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0) }

    private func accept(_ listener: CInt) -> OwnedFD {
        precondition(wait(listener, POLLIN), "nobody connects")
        let fd = OwnedFD(consuming: Glibc.accept(listener, nil, nil))
        close(listener)
        _ = fcntl(fd.raw, F_SETFL, O_NONBLOCK)
        return fd
    }

    /// Connects as soon as the program listens.
    private func connect(_ port: UInt16) throws -> OwnedFD {
        for _ in 0..<200 {
            let fd = OwnedFD(consuming: stream())
            if SocketAddress(.loopbackV4, port: port).withSockaddr({ Glibc.connect(fd.raw, $0, $1) }) == 0 {
                _ = fcntl(fd.raw, F_SETFL, O_NONBLOCK)
                return fd
            }
            usleep(25_000)
        }
        throw TLSError(.network, "the program does not listen")
    }
}

/// Certificate, key and root in files for the openssl program; removed with the value.
final class Files {
    let directory: String
    var arguments: [String] { ["-cert", directory + "/cert.pem", "-key", directory + "/key.pem", "-CAfile", directory + "/root.pem"] }

    init(_ leaf: TestAuthority.Leaf, _ authority: TestAuthority) throws {
        var template = Array("/tmp/weft-tls-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno.current }
        directory = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        for (name, text) in [
            ("cert.pem", pem("CERTIFICATE", leaf.chainDER[0])), ("key.pem", pem("PRIVATE KEY", leaf.keyDER)),
            ("root.pem", pem("CERTIFICATE", authority.rootDER)),
        ] {
            guard let file = fopen(directory + "/" + name, "w") else { throw Errno.current }
            fputs(text, file)
            fclose(file)
        }
    }

    deinit {
        for name in ["cert.pem", "key.pem", "root.pem"] { unlink(directory + "/" + name) }
        rmdir(directory)
    }
}

/// The openssl program with pipes; killed and reaped with the value.
final class Program {
    static let path = "/usr/bin/openssl"
    static var exists: Bool { access(path, X_OK) == 0 }

    private var pid: pid_t = 0
    private let stdout: OwnedFD
    private let stdin: OwnedFD
    private var ended = false

    /// - Parameter input: nil keeps standard input open and silent.
    init(_ arguments: [String], input: String?) throws {
        var output: [CInt] = [0, 0], source: [CInt] = [0, 0]
        guard pipe(&output) == 0, pipe(&source) == 0 else { throw Errno.current }
        for fd in [output[0], source[1]] { _ = fcntl(fd, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, source[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 1)
        posix_spawn_file_actions_adddup2(&actions, output[1], 2)
        var argv: [UnsafeMutablePointer<CChar>?] = (["openssl"] + arguments).map { strdup($0) } + [nil]
        let result = posix_spawn(&pid, Self.path, &actions, nil, &argv, environ)
        posix_spawn_file_actions_destroy(&actions)
        for text in argv { free(text) }
        close(output[1])
        close(source[0])
        stdout = OwnedFD(consuming: output[0])
        stdin = OwnedFD(consuming: source[1])
        guard result == 0 else { throw Errno(result) }
        if let input, !input.isEmpty { _ = Glibc.write(stdin.raw, input, input.utf8.count) }
    }

    /// Everything it wrote until it ended; it is given a few seconds.
    func output() -> String {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            var entry = pollfd(fd: stdout.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 3000) == 1 else { break }
            let count = Glibc.read(stdout.raw, &buffer, buffer.count)
            guard count > 0 else { break }
            all += buffer.prefix(count)
        }
        return String(decoding: all, as: UTF8.self)
    }

    deinit {
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }
}
