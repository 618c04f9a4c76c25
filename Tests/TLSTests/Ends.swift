import Glibc
import Platform
import TLS

/// A connected pair of non-blocking stream sockets, each to be owned by who takes it.
func socketPair(bufferBytes: CInt = 0) -> (CInt, CInt) {
    var fds: [CInt] = [0, 0]
    precondition(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0, &fds) == 0)
    if bufferBytes > 0 {
        var size = bufferBytes
        for fd in fds { setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<CInt>.size)) }
    }
    return (fds[0], fds[1])
}

struct Outcome {
    var client: TLSError?
    var server: TLSError?
    var isDone: Bool { client == nil && server == nil }
}

/// Shakes hands over a socket pair until both ends are done or one failed, and lets the other end see the alert.
func shakeHands(_ client: inout TLSConnection, _ server: inout TLSConnection) -> Outcome {
    var outcome = Outcome()
    var clientDone = false, serverDone = false
    for _ in 0..<100 {
        if !clientDone, outcome.client == nil {
            switch client.handshake() {
            case .done: clientDone = true
            case .failed(let error): outcome.client = error
            case .wantsRead, .wantsWrite: break
            }
        }
        if !serverDone, outcome.server == nil {
            switch server.handshake() {
            case .done: serverDone = true
            case .failed(let error): outcome.server = error
            case .wantsRead, .wantsWrite: break
            }
        }
        if (clientDone || outcome.client != nil) && (serverDone || outcome.server != nil) { break }
    }
    // In TLS 1.3 a client is done before the server has judged its certificate: the verdict comes with the first read.
    if clientDone, outcome.server != nil {
        var byte: UInt8 = 0
        if case .failed(let error) = withUnsafeMutableBytes(of: &byte, { client.read(into: $0) }) { outcome.client = error }
    }
    return outcome
}

/// A server that shows one credential whatever it is asked.
func server(_ trust: TrustStore, _ credential: Credential, alpn: [String] = ["h2"], peer: ServerDecision.PeerCertificate = .required) -> TLSContext {
    TLSContext.server(trust: trust, alpn: alpn) { _ in .accept(credential, peerCertificate: peer) }
}

func write(_ connection: inout TLSConnection, _ bytes: [UInt8]) -> TLSIOResult { bytes.withUnsafeBytes { connection.write($0) } }

func read(_ connection: inout TLSConnection, _ count: Int = 16_384) -> (result: TLSIOResult, bytes: [UInt8]) {
    var buffer = [UInt8](repeating: 0, count: count)
    let result = buffer.withUnsafeMutableBytes { connection.read(into: $0) }
    guard case .bytes(let got) = result else { return (result, []) }
    return (result, Array(buffer.prefix(got)))
}
