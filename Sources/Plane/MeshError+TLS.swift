import MeshModel
import Platform
import TLS

extension MeshError {
    /// A failure of TLS with a peer, told with its address.
    package init(_ error: TLSError, with peer: SocketAddress?) {
        let retryable =
            switch error.code {
            case .closedEarly, .network: true
            default: false
            }
        let source: Source =
            switch error.code {
            case .badCredential, .badTrust, .library: .internal
            default: .peer
            }
        self.init(
            source, code: error.code.rawValue, peer.map { "TLS with \($0): \(error.message)" } ?? "TLS: \(error.message)", remedy: error.remedy,
            retryable: retryable)
    }
}
