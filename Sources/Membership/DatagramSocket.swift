import Platform
import Reactor
import SWIM

/// The UDP socket. Some datagrams at most per wake-up, so that timers and streams have their turn too.
@Control
final class DatagramSocket {
    private static let perTurn = 64
    /// What may wait in the kernel, in bytes with its own overhead: about a thousand packets, which a join of hundreds of nodes can bring within a moment.
    private static let waiting: CInt = 4 << 20

    /// With how long it waited in the socket.
    private let onDatagram: @Control ([UInt8], SocketAddress, Duration) -> Void
    private let onLoss: @Control () -> Void
    private var buffer = [UInt8](repeating: 0, count: SWIMLimits.datagram)
    private var fd: OwnedFD?
    private var watch: WatchID?
    /// Datagrams that the kernel did not take: a full socket buffer, no route. Gossip survives the loss of some.
    private(set) var sendFailures: UInt64 = 0
    /// Datagrams that came faster than they were read.
    var lost: UInt64 { UInt64(reading.lost) }
    private var reading = Socket.Reading()

    /// - Parameter onLoss: the kernel has thrown datagrams away, because they had not been read in time.
    init(onDatagram: @escaping @Control ([UInt8], SocketAddress, Duration) -> Void, onLoss: @escaping @Control () -> Void) {
        self.onDatagram = onDatagram
        self.onLoss = onLoss
    }

    func start(_ address: SocketAddress, mark: UInt32) throws(Errno) {
        let socket = try Socket.udp(address, mark: mark)
        Socket.watchReading(socket.raw, bytes: Self.waiting)
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
            let before = reading.lost
            let (result, source) = buffer.withUnsafeMutableBytes { Socket.receive(raw, into: $0, &reading) }
            switch result {
            case .bytes(let count):
                if reading.lost != before { onLoss() }
                guard let source else { continue }
                onDatagram(Array(buffer[..<count]), source, reading.waited)
            case .failed: continue  // an ICMP error for a datagram sent before, told here once
            case .endOfStream, .wouldBlock: return
            }
        }
    }
}
