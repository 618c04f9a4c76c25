import HTTPWire
import TLS

/// What peers do wrong in an open tunnel: counted by its reason, and told.
extension Worker {
    /// The peer broke HTTP/2 or went over a bound, and the session has a GOAWAY for it. The tunnel closes once that is written.
    func brokeProtocol(_ tunnel: TunnelPointer, _ failure: HTTP2Failure) {
        statistics.floods[failure.code, default: 0] &+= 1
        problem("http2_\(failure.code)", "tunnel with \(tunnel.pointee.peer): \(failure)")
    }

    /// A network that fails or a peer that dies is worth a word only when it cost flows; broken TLS always is.
    func readFailed(_ tunnel: TunnelPointer, _ error: TLSError) {
        switch error.code {
        case .network, .closedEarly, .peerAlert:
            if tunnel.pointee.phase == .open, tunnel.pointee.activeStreams > 0 { problem("tunnel_lost", "tunnel with \(tunnel.pointee.peer): \(error)") }
        default:
            statistics.floods[error.code.rawValue, default: 0] &+= 1
            problem("tls_\(error.code.rawValue)", "tunnel with \(tunnel.pointee.peer): \(error)")
        }
    }
}
