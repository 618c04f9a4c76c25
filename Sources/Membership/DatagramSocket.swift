import Platform
import Reactor
import SWIM

/// The UDP socket. Some datagrams at most per wake-up, so that timers and streams have their turn too.
@Control
final class DatagramSocket {
    private static let perTurn = 64

    private let onDatagram: @Control ([UInt8], SocketAddress) -> Void
    private var buffer = [UInt8](repeating: 0, count: SWIMLimits.datagram)
    private var fd: OwnedFD?
    private var watch: WatchID?
    /// Datagrams that the kernel did not take: a full socket buffer, no route. Gossip survives the loss of some.
    private(set) var sendFailures: UInt64 = 0

    init(onDatagram: @escaping @Control ([UInt8], SocketAddress) -> Void) { self.onDatagram = onDatagram }

    func start(_ address: SocketAddress, mark: UInt32) throws(Errno) {
        let socket = try Socket.udp(address, mark: mark)
        watch = try ControlLoop.shared.watch(socket.raw, .read) { [weak self] _ in self?.receive() }
        fd = consume socket
    }

    func stop() {
        if let watch { ControlLoop.shared.unwatch(watch) }
        watch = nil
        fd = nil
    }

    func send(_ bytes: [UInt8], to address: SocketAddress) {
        guard let raw = fd?.raw else { return }
        switch bytes.withUnsafeBytes({ Socket.send(raw, $0, to: address) }) {
        case .bytes: break
        case .endOfStream, .wouldBlock, .failed: sendFailures &+= 1
        }
    }

    private func receive() {
        for _ in 0..<Self.perTurn {
            guard let raw = fd?.raw else { return }
            let (result, source) = buffer.withUnsafeMutableBytes { Socket.receive(raw, into: $0) }
            switch result {
            case .bytes(let count):
                guard let source else { continue }
                onDatagram(Array(buffer[..<count]), source)
            case .failed: continue  // an ICMP error for a datagram sent before, told here once
            case .endOfStream, .wouldBlock: return
            }
        }
    }
}
