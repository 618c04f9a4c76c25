import CLinux
import Glibc
import Platform
import Reactor

/// Moving bytes between two sockets.
extension Worker {
    /// What one direction did.
    enum Pumped: Equatable {
        /// The source is empty or the destination full: an event will say when there is more.
        case blocked
        /// The budget is used up and there is more.
        case more
        /// The source has ended and the destination knows.
        case finished
        case readFailed(CInt)
        case writeFailed(CInt)
        case outOfMemory(FlowEnd)
    }

    /// An event of a flow's socket.
    func onSocket(_ token: Token, _ flow: UnsafeMutablePointer<Flow>, _ bits: UInt32) {
        let fromClient = token.kind == TokenKind.client
        switch flow.pointee.phase {
        case .free: return
        case .connecting where !fromClient: connectEnded(token.slot, flow, bits)
        case .connecting, .opening:
            if bits & (EpollBits.error | EpollBits.hangup) != 0 { return callerLeft(token.slot, flow) }
            flow.pointee.early |= bits
        case .relaying:
            if flow.pointee.client < 0 || flow.pointee.server < 0 { return onStreamSocket(token.slot, flow, bits) }
            if flow.pointee.up.bulk || flow.pointee.down.bulk, bits & (EpollBits.error | EpollBits.hangup) == 0 { return deferBulk(token.slot, flow) }
            sawSmall(lastBulk: flow.pointee.lastTurn)
            _ = relay(token.slot, flow, fromClient: fromClient, bits)
        }
    }

    /// The caller went away before the other side was reached. A request that is on its way is not cut off: many cuts at once look like an attack
    /// (CVE-2023-44487), and the peer would close the tunnel that others use too. Its answer, or the deadline, ends the flow.
    private func callerLeft(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        guard flow.pointee.phase == .opening, flow.pointee.stream >= 0, stopAt == nil else { return finish(slot, flow, .clientReset) }
        closeWindow(flow)
        Socket.resetOnClose(flow.pointee.client)
        _ = close(flow.pointee.client)
        flow.pointee.client = -1
    }

    /// What an event of one of two sockets asks for. False when the flow is over.
    func relay(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, fromClient: Bool, _ bits: UInt32) -> Bool {
        if bits & ~EpollBits.write != 0 {
            let closing = bits & (EpollBits.readHangup | EpollBits.hangup | EpollBits.error) != 0
            if !pump(slot, flow, up: fromClient, thorough: closing) { return false }
            if bits & EpollBits.error != 0, !resetAfterEnd(slot, flow, up: fromClient) { return false }
        }
        // Room in this socket matters only to bytes that already wait for it; new ones announce themselves.
        guard bits & EpollBits.write != 0, fromClient ? flow.pointee.down.holds : flow.pointee.up.holds else { return true }
        return pump(slot, flow, up: !fromClient, thorough: true)
    }

    /// A socket that had ended its side was reset: reading it can't say so any more. False when the flow is over.
    private func resetAfterEnd(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, up: Bool) -> Bool {
        guard up ? flow.pointee.up.ended : flow.pointee.down.ended else { return true }
        flow.pointee.broken = true
        flow.pointee.errno = Socket.error(up ? flow.pointee.client : flow.pointee.server)?.code ?? ECONNRESET
        // What it sent before its end is still owed to the other side; `pump` or the timer ends the flow then.
        guard up ? flow.pointee.up.finished : flow.pointee.down.finished else { return true }
        finish(slot, flow, up ? .clientReset : .serverReset)
        return false
    }

    /// Both directions, whatever the reason.
    func pumpAll(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        guard flow.pointee.phase == .relaying else { return }
        if flow.pointee.client < 0 || flow.pointee.server < 0 { return pumpStream(slot, flow) }
        if pump(slot, flow, up: true, thorough: true) { pump(slot, flow, up: false, thorough: true) }
    }

    /// One direction. False when the flow is over.
    /// - Parameter thorough: read until the kernel says that there is nothing; else a short read says it too, which saves a call for each small message.
    @discardableResult
    func pump(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, up: Bool, thorough: Bool) -> Bool {
        let source = up ? flow.pointee.client : flow.pointee.server
        let destination = up ? flow.pointee.server : flow.pointee.client
        let before = up ? flow.pointee.up.total : flow.pointee.down.total
        let last = up ? flow.pointee.down.finished : flow.pointee.up.finished
        let result = up ? move(&flow.pointee.up, source, destination, thorough, last) : move(&flow.pointee.down, source, destination, thorough, last)
        if (up ? flow.pointee.up.total : flow.pointee.down.total) != before { flow.pointee.active = now }
        switch result {
        case .blocked:
            if up ? flow.pointee.up.ended : flow.pointee.down.ended { setDeadline(slot, flow, settings.timeouts.halfClosed) }
            return true
        case .more:
            requeue(slot, flow)
            return true
        case .finished:
            if flow.pointee.broken {
                finish(slot, flow, up ? .clientReset : .serverReset)
                return false
            }
            if flow.pointee.up.finished && flow.pointee.down.finished {
                finish(slot, flow, .completed)
                return false
            }
            setDeadline(slot, flow, settings.timeouts.halfClosed)
            return true
        case .readFailed(let error):
            finish(slot, flow, up ? .clientReset : .serverReset, errno: error)
            return false
        case .writeFailed(let error):
            // What the dead socket had sent before is still owed to the other side: the answer of a server that did not want the whole upload.
            let (client, server) = (flow.pointee.client, flow.pointee.server)
            _ = up ? move(&flow.pointee.down, server, client, true, false) : move(&flow.pointee.up, client, server, true, false)
            finish(slot, flow, up ? .serverReset : .clientReset, errno: error)
            return false
        case .outOfMemory(let reason):
            finish(slot, flow, reason)
            return false
        }
    }

    private func requeue(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        flow.pointee.lastTurn = 0
        if flow.pointee.up.bulk || flow.pointee.down.bulk { return deferBulk(slot, flow) }
        guard !flow.pointee.queued else { return }
        flow.pointee.queued = true
        ready.append(Token(kind: TokenKind.client, slot: slot, generation: flows.generation(slot)))
    }

    /// Reads and writes until one side would block, the source ends, or the budget is used up.
    /// - Parameter last: the other direction is over: the sockets are closed next, so the destination needs no word of its own.
    private func move(_ half: inout Half, _ source: CInt, _ destination: CInt, _ thorough: Bool, _ last: Bool) -> Pumped {
        if half.finished { return .blocked }
        var budget = settings.limits.bytesPerTurn
        while true {
            switch flush(&half, to: destination) {
            case .finished: break
            case let other: return other
            }
            if half.ended {
                if !last { Socket.shutdownWrite(destination) }
                half.finished = true
                releasePipe(&half)
                return .finished
            }
            if budget <= 0 { return .more }
            if half.total >= Self.spliceThreshold, !half.limited { limit(&half, destination) }
            if half.bulk, half.pipe != nil || takePipe(&half) {
                switch half.pipe!.fill(from: source) {
                case .bytes(let count): budget -= count
                case .endOfStream: half.ended = true
                case .wouldBlock:
                    // An idle flow holds no pipe.
                    releasePipe(&half)
                    half.bulk = settings.limits.bytesPerTurn - budget >= Self.bulkRead
                    return .blocked
                case .failed(let error): return .readFailed(error.code)
                }
                continue
            }
            switch Socket.read(source, scratch, Self.relayRead) {
            case .bytes(let count):
                budget -= count
                if count >= Self.bulkRead, half.total >= Self.spliceThreshold { half.bulk = true }
                switch Socket.write(destination, scratch, count) {
                case .bytes(let written):
                    half.total &+= UInt64(written)
                    if written < count {
                        if let reason = hold(&half, scratch + written, count - written) { return .outOfMemory(reason) }
                    } else if !thorough && count < Self.relayRead {
                        return .blocked
                    }
                case .wouldBlock:
                    if let reason = hold(&half, scratch, count) { return .outOfMemory(reason) }
                case .endOfStream: return .writeFailed(EPIPE)
                case .failed(let error): return .writeFailed(error.code)
                }
            case .endOfStream: half.ended = true
            case .wouldBlock: return .blocked
            case .failed(let error): return .readFailed(error.code)
            }
        }
    }

    /// The destination is a socket that much goes to: from now on the kernel keeps a bounded part of it. (Accepted sockets have the bound already.)
    @inline(never)
    func limit(_ half: inout Half, _ destination: CInt) {
        half.limited = true
        Socket.setUnsentLimit(destination, CInt(settings.limits.unsentBytes))
    }

    /// Writes what is held. `.finished` when nothing is held any more.
    func flush(_ half: inout Half, to destination: CInt) -> Pumped {
        while half.stashCount > 0 {
            switch Socket.write(destination, half.stash! + half.stashOffset, half.stashCount) {
            case .bytes(let count):
                half.stashOffset += count
                half.stashCount -= count
                half.total &+= UInt64(count)
            case .wouldBlock: return .blocked
            case .endOfStream: return .writeFailed(EPIPE)
            case .failed(let error): return .writeFailed(error.code)
            }
        }
        if half.stash != nil { freeStash(&half) }
        while let held = half.pipe?.held, held > 0 {
            switch half.pipe!.drain(to: destination) {
            case .bytes(let count): half.total &+= UInt64(count)
            case .wouldBlock: return .blocked
            case .endOfStream: return .writeFailed(EPIPE)
            case .failed(let error): return .writeFailed(error.code)
            }
        }
        return .finished
    }

    private func takePipe(_ half: inout Half) -> Bool {
        // Charged for what it can hold, while the flow has it: a flow whose namespace can't afford one copies.
        guard chargePipe(half) else { return false }
        guard let pipe = pipes.take() else {
            dischargePipe(half)
            return false
        }
        // The last descriptors are for connections; copying needs none.
        guard pipe.writeEnd < settings.limits.descriptors else {
            dischargePipe(half)
            pipes.give(pipe)
            pipes.closeIdle()
            return false
        }
        half.pipe = pipe
        return true
    }

    func releasePipe(_ half: inout Half) {
        if let pipe = half.pipe {
            dischargePipe(half)
            pipes.give(pipe)
            half.pipe = nil
        }
    }
}
