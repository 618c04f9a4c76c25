import Platform
import Reactor

/// One listening socket with its connections, of which there are at most as many as all listeners together may have.
@Control
final class TCPListener {
    let address: SocketAddress
    private let socket: WatchedSocket
    private let handler: QueryHandler
    private let mayOpen: @Control () -> Bool
    private var connections: [ObjectIdentifier: TCPConnection] = [:]
    private(set) var accepted: UInt64 = 0
    private(set) var refused: UInt64 = 0
    private(set) var idleClosed: UInt64 = 0

    /// How long accepting pauses when the process has no descriptors left.
    static let pause = Duration.milliseconds(100)

    /// - Parameter mayOpen: whether there is room for one more connection.
    init(_ address: SocketAddress, mark: UInt32, mayOpen: @escaping @Control () -> Bool, _ handler: @escaping QueryHandler) throws(Errno) {
        let descriptor = try Socket.tcpListener(address, backlog: 128, mark: mark)
        self.address = Socket.localAddress(descriptor.raw) ?? address
        self.handler = handler
        self.mayOpen = mayOpen
        socket = WatchedSocket(descriptor)
        try socket.watch(.read) { [weak self] _ in self?.accept() }
    }

    var count: Int { connections.count }

    func close() {
        socket.close()
        for connection in connections.values { connection.close() }
    }

    /// Closes connections that have nothing to wait for, or have waited too long.
    func sweep(_ now: MonotonicTime, idle: Duration) {
        for connection in connections.values where now - connection.active > (connection.isIdle ? idle : idle + .seconds(20)) {
            idleClosed += 1
            connection.close()
        }
    }

    private func accept() {
        for _ in 0..<32 {
            switch Socket.accept(socket.raw) {
            case .accepted(let descriptor, let client):
                guard mayOpen() else {
                    refused += 1
                    continue
                }
                open(descriptor, client)
            case .gone: continue
            case .wouldBlock: return
            case .failed: return
            case .exhausted:
                socket.want([])
                ControlLoop.shared.after(Self.pause) { [weak self] in self?.socket.want(.read) }
                return
            }
        }
    }

    private func open(_ descriptor: consuming OwnedFD, _ client: SocketAddress) {
        let connection = TCPConnection(descriptor, client, address, handler) { [weak self] in self?.connections[ObjectIdentifier($0)] = nil }
        do throws(Errno) {
            connections[ObjectIdentifier(connection)] = connection
            try connection.start()
            accepted += 1
        } catch {
            connection.close()
        }
    }
}
