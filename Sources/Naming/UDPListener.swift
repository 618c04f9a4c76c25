import Platform
import Reactor

/// Takes one query; calls `reply` at most once, now or later.
typealias QueryHandler =
    @Control (_ query: [UInt8], _ client: SocketAddress, _ local: SocketAddress, _ reply: @escaping @Control ([UInt8]) -> Void) -> Void

/// One UDP socket. Its address is one of this host's and never a wildcard: a redirected query's answer must leave from where it arrived.
@Control
final class UDPListener {
    let address: SocketAddress
    private let socket: WatchedSocket
    private let handler: QueryHandler
    private var scratch = [UInt8](repeating: 0, count: DNSBounds.message)
    private(set) var sendFailures: UInt64 = 0
    /// Datagrams taken in one turn of the loop.
    static let batch = 64

    /// - Throws: when the address cannot be bound.
    init(_ address: SocketAddress, mark: UInt32, _ handler: @escaping QueryHandler) throws(Errno) {
        let descriptor = try Socket.udp(address, mark: mark)
        self.address = Socket.localAddress(descriptor.raw) ?? address
        self.handler = handler
        socket = WatchedSocket(descriptor)
        try socket.watch(.read) { [weak self] _ in self?.receive() }
    }

    func close() { socket.close() }

    private func receive() {
        for _ in 0..<Self.batch {
            guard socket.isOpen else { return }
            let (result, source) = scratch.withUnsafeMutableBytes { Socket.receive(socket.raw, into: $0) }
            switch result {
            case .bytes(let count):
                guard let source, source.port != 0 else { continue }
                handler(Array(scratch[..<count]), source, address) { [weak self] bytes in self?.send(bytes, to: source) }
            case .wouldBlock: return
            // An ICMP error for an earlier answer: its client is gone.
            case .endOfStream, .failed: continue
            }
        }
    }

    private func send(_ bytes: [UInt8], to client: SocketAddress) {
        guard socket.isOpen else { return }
        switch bytes.withUnsafeBytes({ Socket.send(socket.raw, $0, to: client) }) {
        case .bytes: return
        case .endOfStream, .wouldBlock, .failed: sendFailures += 1
        }
    }
}
