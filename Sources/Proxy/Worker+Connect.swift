import CLinux
import Glibc
import MeshModel
import Platform
import Reactor

/// Connecting to applications, and what follows when that worked or failed.
extension Worker {
    /// Starts the connection to an application of this node, or to where a passed-through flow was going.
    /// - Parameter source: the client's address, to show it to the application.
    func connectDirect(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, to address: SocketAddress, as source: SocketAddress? = nil) {
        flow.pointee.phase = .connecting
        flow.pointee.endpoint = address
        do {
            let fd = try connectShowing(source, to: address)
            flow.pointee.server = fd.release()
        } catch {
            return connectFailed(slot, flow, error)
        }
        guard watch(flow.pointee.server, Token(kind: TokenKind.server, slot: slot, generation: flows.generation(slot))) else {
            return retry(slot, flow, .descriptorLimit)
        }
        setDeadline(slot, flow, settings.timeouts.connect)
    }

    /// With the client's address where that works, else with the node's own: an address that the kernel refuses is no reason to refuse the flow.
    private func connectShowing(_ source: SocketAddress?, to address: SocketAddress) throws(Errno) -> OwnedFD {
        if let source, settings.keepClientAddress, source.ip.family == address.ip.family, !source.ip.isLoopback, source.ip != address.ip,
            let shown = try connect(to: address, by: source.ip)
        {
            return shown
        }
        return try Socket.connect(to: address, mark: settings.excludedMark)
    }

    /// From a port of the client's address that the client does not use itself; nil when that does not work.
    private func connect(to address: SocketAddress, by client: IPAddress) throws(Errno) -> OwnedFD? {
        var attempt = 0
        while let port = clientPorts.next(attempt: attempt) {
            attempt += 1
            do {
                return try Socket.connect(to: address, from: SocketAddress(client, port: port), transparent: true, mark: settings.spoofedMark)
            } catch {
                switch error.code {
                case EMFILE, ENFILE: throw error
                case EADDRINUSE, EADDRNOTAVAIL: continue
                default:
                    problem("client_address", "the client's address \(client) cannot be shown to \(address): \(error); the node's own is used")
                    return nil
                }
            }
        }
        problem("client_ports", "every port of the client's address \(client) that was tried is in use towards \(address): the node's own address is used")
        return nil
    }

    /// The application's socket is writable or broken while the flow waits for it.
    func connectEnded(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ bits: UInt32) {
        if bits & (EpollBits.error | EpollBits.hangup) != 0, let error = Socket.error(flow.pointee.server) { return connectFailed(slot, flow, error) }
        // While SYN is on its way a socket is not writable (tcp_poll): that it is says all.
        guard bits & EpollBits.write != 0 else { return }
        if flow.pointee.direction == .tunnel { answerStream(slot, flow) }
        startRelay(slot, flow, serverBits: bits)
    }

    private func connectFailed(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ error: Errno) {
        let reason: FlowEnd =
            switch error.code {
            case ECONNREFUSED: .connectRefused
            case ETIMEDOUT: .connectTimeout
            case EMFILE, ENFILE: .descriptorLimit
            default: .connectFailed
            }
        retry(slot, flow, reason, errno: error.code)
    }

    /// Both sides are there: bytes may move.
    /// - Parameter serverBits: what the event that says so says of the application's socket besides.
    func startRelay(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, serverBits: UInt32 = 0) {
        flow.pointee.phase = .relaying
        flow.pointee.active = now
        countOpened(flow)
        setDeadline(slot, flow, settings.timeouts.idle > .zero ? min(settings.timeouts.idle, Self.settling) : Self.settling)
        guard flow.pointee.client >= 0, flow.pointee.server >= 0 else { return pumpStream(slot, flow) }
        if relay(slot, flow, fromClient: true, flow.pointee.early) { _ = relay(slot, flow, fromClient: false, serverBits & ~EpollBits.write) }
    }

    /// When a flow is looked at first. Most are over by then, and were spared the calls that watch over a long one.
    static let settling: Duration = .seconds(10)

    /// The flow is a long one. (Accepted sockets have this from their listener.)
    func settle(_ flow: UnsafeMutablePointer<Flow>) {
        flow.pointee.settled = true
        if flow.pointee.server >= 0 { keepAlive(flow.pointee.server) }
    }

    func keepAlive(_ fd: CInt) {
        Socket.setKeepalive(fd, idle: 180, interval: 20, count: 9, userTimeoutMilliseconds: CInt(ProxySettings.silence.milliseconds))
    }
}
