import Glibc
import HTTPWire
import Platform
import Reactor

/// Moving bytes between a flow's one socket and its stream.
extension Worker {
    /// From the stream to the socket. What the socket does not take waits; its credit returns when it was taken, so at most one window waits.
    @inline(__always)
    func deliver(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ tunnel: TunnelPointer, _ bytes: UnsafeRawPointer, _ count: Int) {
        let upwards = flow.pointee.direction == .tunnel
        let fd = upwards ? flow.pointee.server : flow.pointee.client
        if flow.pointee.broken { return tunnel.pointee.http!.consume(flow.pointee.stream, count) }
        if upwards, flow.pointee.up.total >= Self.spliceThreshold, !flow.pointee.up.limited { limit(&flow.pointee.up, fd) }
        flow.pointee.active = now
        var written = 0
        if (upwards ? flow.pointee.up.stashCount : flow.pointee.down.stashCount) == 0 {
            switch Socket.write(fd, bytes, count) {
            case .bytes(let count): written = count
            case .wouldBlock: break
            case .endOfStream: return socketBroke(slot, flow, EPIPE)
            case .failed(let error): return socketBroke(slot, flow, error.code)
            }
        }
        if written > 0 {
            if upwards { flow.pointee.up.total &+= UInt64(written) } else { flow.pointee.down.total &+= UInt64(written) }
            took(flow, tunnel, written)
        }
        guard written < count else { return }
        let refused = upwards ? hold(&flow.pointee.up, bytes + written, count - written) : hold(&flow.pointee.down, bytes + written, count - written)
        if let refused { finish(slot, flow, refused) }
    }

    /// The peer sends no more on the stream.
    func streamEnded(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        if flow.pointee.direction == .tunnel { flow.pointee.up.ended = true } else { flow.pointee.down.ended = true }
        closeWindow(flow)
        if flow.pointee.phase == .relaying {
            setDeadline(slot, flow, settings.timeouts.halfClosed)
            drainToSocket(slot, flow)
        }
    }

    /// An event of the flow's one socket.
    func onStreamSocket(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ bits: UInt32) {
        if bits & EpollBits.error != 0 { return socketBroke(slot, flow, 0) }
        if bits & ~EpollBits.write != 0, let tunnel = tunnel(of: flow) {
            tunnel.pointee.http!.resume(flow.pointee.stream)
            schedule(flow.pointee.tunnel)
        }
        if bits & EpollBits.write != 0 { drainToSocket(slot, flow) }
    }

    /// The flow's socket is dead (RST). What it sent before that still goes to the peer, as it would without a proxy in between: the answer of a server
    /// that did not want the whole upload. Then the stream is cut too.
    private func socketBroke(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ errno: CInt) {
        let upwards = flow.pointee.direction == .tunnel
        if errno != 0 { flow.pointee.errno = errno }
        guard flow.pointee.phase == .relaying, !(upwards ? flow.pointee.down.ended : flow.pointee.up.ended), let tunnel = tunnel(of: flow) else {
            return finish(slot, flow, upwards ? .serverReset : .clientReset)
        }
        flow.pointee.broken = true
        if upwards { freeStash(&flow.pointee.up) } else { freeStash(&flow.pointee.down) }
        setDeadline(slot, flow, settings.timeouts.halfClosed)
        tunnel.pointee.http!.resume(flow.pointee.stream)
        schedule(flow.pointee.tunnel)
    }

    /// Both directions, when the relay starts or a turn was put off.
    func pumpStream(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        if let tunnel = tunnel(of: flow) {
            tunnel.pointee.http!.resume(flow.pointee.stream)
            schedule(flow.pointee.tunnel)
        }
        drainToSocket(slot, flow)
    }

    /// Writes what waits for the socket, gives the credit back, and passes the end on.
    private func drainToSocket(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        let upwards = flow.pointee.direction == .tunnel
        let fd = upwards ? flow.pointee.server : flow.pointee.client
        let before = upwards ? flow.pointee.up.stashCount : flow.pointee.down.stashCount
        let result = upwards ? flush(&flow.pointee.up, to: fd) : flush(&flow.pointee.down, to: fd)
        let written = before - (upwards ? flow.pointee.up.stashCount : flow.pointee.down.stashCount)
        if written > 0 {
            flow.pointee.active = now
            if let tunnel = tunnel(of: flow) {
                tunnel.pointee.http!.consume(flow.pointee.stream, written)
                forgetTaken(flow)
                schedule(flow.pointee.tunnel)
            }
        }
        if case .writeFailed(let error) = result { return socketBroke(slot, flow, error) }
        streamDone(slot, flow)
    }

    /// Passes the stream's end on to the socket once all is written, and ends the flow when both directions are over.
    func streamDone(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        let upwards = flow.pointee.direction == .tunnel
        let (over, told, waiting) = upwards
            ? (flow.pointee.up.ended, flow.pointee.up.finished, flow.pointee.up.stashCount)
            : (flow.pointee.down.ended, flow.pointee.down.finished, flow.pointee.down.stashCount)
        if over, !told, waiting == 0, !flow.pointee.broken {
            Socket.shutdownWrite(upwards ? flow.pointee.server : flow.pointee.client)
            if upwards { flow.pointee.up.finished = true } else { flow.pointee.down.finished = true }
        }
        if flow.pointee.up.finished && flow.pointee.down.finished { finish(slot, flow, .completed) }
    }
}

/// Reads from the flow's socket straight into the frame: no buffer of ours in between. Called while a session makes output.
let pullFromSocket: HTTP2DataSource.Pull = { context, _, token, room, count in
    guard let context, let room, token != 0 else { return HTTP2Pull.reset(HTTP2Code.cancel).rawValue }
    return Unmanaged<Worker>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.pull(Token(raw: token), room, count).rawValue }
}

extension Worker {
    @inline(__always)
    fileprivate func pull(_ token: Token, _ room: UnsafeMutablePointer<UInt8>, _ count: Int) -> HTTP2Pull {
        guard let flow = flows.get(token.slot, generation: token.generation) else { return .reset(HTTP2Code.cancel) }
        guard flow.pointee.phase == .relaying else { return .wouldBlock }
        let upwards = flow.pointee.direction != .tunnel
        switch Socket.read(upwards ? flow.pointee.client : flow.pointee.server, room, count) {
        case .bytes(let count):
            flow.pointee.active = now
            if upwards { flow.pointee.up.total &+= UInt64(count) } else { flow.pointee.down.total &+= UInt64(count) }
            return .bytes(count)
        case .wouldBlock: return flow.pointee.broken ? .reset(HTTP2Code.cancel) : .wouldBlock
        case .endOfStream:
            // The kernel reports a reset once; after that a dead socket reads as ended.
            if flow.pointee.broken { return .reset(HTTP2Code.cancel) }
            if upwards {
                flow.pointee.up.ended = true
                flow.pointee.up.finished = true
            } else {
                flow.pointee.down.ended = true
                flow.pointee.down.finished = true
            }
            setDeadline(token.slot, flow, settings.timeouts.halfClosed)
            return .endOfStream()
        // The `reset` event that follows ends the flow.
        case .failed(let error):
            flow.pointee.errno = error.code
            return .reset(HTTP2Code.cancel)
        }
    }
}
