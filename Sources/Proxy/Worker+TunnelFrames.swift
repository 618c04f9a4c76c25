import Glibc
import HTTPWire
import Platform
import Reactor
import TLS

/// Moving the frames of an open tunnel.
extension Worker {
    private static let stagingSize = 16_384
    /// The most that one record brings.
    private static let record = 16_384

    /// Reads, decrypts and handles frames. False when the tunnel is gone.
    func readTunnel(_ slot: UInt32, _ tunnel: TunnelPointer) -> Bool {
        tunnel.pointee.readWantsWrite = false
        var budget = portion
        tunnel.pointee.tls!.startReceiving(budget)
        reading: while true {
            // What was read ahead is in the worker's own buffer and can't stay there.
            if budget <= 0, !tunnel.pointee.tls!.stopReceiving() { break }
            // Several records are handled together: what belongs to one frame is written to its flow at once.
            var filled = 0
            var end: TLSIOResult?
            while end == nil, filled + Self.record <= Self.scratchSize {
                switch tunnel.pointee.tls!.read(into: UnsafeMutableRawBufferPointer(start: scratch + filled, count: Self.scratchSize - filled)) {
                case .bytes(let count): filled += count
                case let other: end = other
                }
            }
            budget -= filled
            tunnel.pointee.moved &+= filled
            if filled > 0, !feed(slot, tunnel, filled) { return false }
            switch end {
            case nil, .bytes: continue
            case .wantsRead where budget <= 0: break reading
            case .wantsRead: return true
            case .wantsWrite:
                tunnel.pointee.readWantsWrite = true
                return true
            case .endOfStream:
                closeTunnel(slot, tunnel, .tunnelLost)
                return false
            case .failed(let error):
                readFailed(tunnel, error)
                closeTunnel(slot, tunnel, .tunnelLost)
                return false
            }
        }
        tunnels[slot].pointee.readMore = true
        schedule(slot)
        return true
    }

    /// Handles the first `count` bytes of the scratch. False when the tunnel is gone.
    private func feed(_ slot: UInt32, _ tunnel: TunnelPointer, _ count: Int) -> Bool {
        tunnel.pointee.heard = now
        tunnel.pointee.pinged = false
        let result = tunnel.pointee.http!.feed(UnsafeRawBufferPointer(start: scratch, count: count), at: now, events: &events)
        handleEvents(slot, tunnel)
        guard case .failed(let failure) = result else { return tunnel.pointee.phase != .closed }
        brokeProtocol(tunnel, failure)
        flushTunnel(slot, tunnel)
        if tunnel.pointee.phase != .closed { closeTunnel(slot, tunnel, .tunnelLost) }
        return false
    }

    /// Encrypts and writes what the session has to say: small frames together in one record, records together in one call of the kernel.
    func flushTunnel(_ slot: UInt32, _ tunnel: TunnelPointer) {
        guard tunnel.pointee.phase == .open, !tunnel.pointee.writeBlocked else { return }
        guard send(slot, tunnel), writePending(slot, tunnel) else { return }
        var staged = 0
        var budget = portion
        let staging = output
        while budget > 0 {
            if !tunnel.pointee.tls!.hasRoom(for: staged + HTTP2Session.largestOutput) {
                guard write(slot, tunnel, UnsafeRawBufferPointer(start: staging, count: staged), then: UnsafeRawBufferPointer(start: nil, count: 0)),
                    send(slot, tunnel)
                else { return }
                staged = 0
            }
            guard let chunk = tunnel.pointee.http!.nextOutput(events: &events) else { break }
            budget -= chunk.count
            tunnel.pointee.moved &+= chunk.count
            if staged + chunk.count > Self.stagingSize {
                guard write(slot, tunnel, UnsafeRawBufferPointer(start: staging, count: staged), then: chunk) else { return }
                staged = 0
            } else {
                memcpy(staging + staged, chunk.baseAddress!, chunk.count)
                staged += chunk.count
            }
        }
        if staged > 0, !write(slot, tunnel, UnsafeRawBufferPointer(start: staging, count: staged), then: UnsafeRawBufferPointer(start: nil, count: 0)) { return }
        guard send(slot, tunnel) else { return }
        if !events.isEmpty { handleEvents(slot, tunnel) }
        if budget <= 0 { schedule(slot) }
        if tunnel.pointee.phase == .open, tunnel.pointee.isFinished { closeTunnel(slot, tunnel, .tunnelLost) }
    }

    /// Sends the records that have gathered. False when the socket takes no more, or the tunnel is gone.
    private func send(_ slot: UInt32, _ tunnel: TunnelPointer) -> Bool {
        switch tunnel.pointee.tls!.flush() {
        case .sent: return true
        case .blocked:
            tunnel.pointee.writeBlocked = true
            if !events.isEmpty { handleEvents(slot, tunnel) }
            return false
        case .failed:
            events.removeAll()
            closeTunnel(slot, tunnel, .tunnelLost)
            return false
        }
    }

    /// Writes two runs of bytes; what the socket does not take is kept. False when no more can be written now.
    private func write(_ slot: UInt32, _ tunnel: TunnelPointer, _ first: UnsafeRawBufferPointer, then second: UnsafeRawBufferPointer) -> Bool {
        for run in [first, second] where run.count > 0 {
            if tunnel.pointee.writeBlocked {
                tunnel.pointee.pending.append(contentsOf: run)
                continue
            }
            var offset = 0
            while offset < run.count {
                switch tunnel.pointee.tls!.write(UnsafeRawBufferPointer(rebasing: run[offset...])) {
                case .bytes(let count): offset += count
                case .wantsRead, .wantsWrite:
                    tunnel.pointee.pending.append(contentsOf: run[offset...])
                    tunnel.pointee.writeBlocked = true
                    offset = run.count
                case .endOfStream, .failed:
                    events.removeAll()
                    closeTunnel(slot, tunnel, .tunnelLost)
                    return false
                }
            }
        }
        if tunnel.pointee.writeBlocked {
            if !events.isEmpty { handleEvents(slot, tunnel) }
            return false
        }
        return true
    }

    private func writePending(_ slot: UInt32, _ tunnel: TunnelPointer) -> Bool {
        while tunnel.pointee.pendingOffset < tunnel.pointee.pending.count {
            let offset = tunnel.pointee.pendingOffset
            let result = tunnel.pointee.pending.withUnsafeBytes { tunnel.pointee.tls!.write(UnsafeRawBufferPointer(rebasing: $0[offset...])) }
            switch result {
            case .bytes(let count): tunnel.pointee.pendingOffset += count
            case .wantsRead, .wantsWrite:
                tunnel.pointee.writeBlocked = true
                return false
            case .endOfStream, .failed:
                closeTunnel(slot, tunnel, .tunnelLost)
                return false
            }
        }
        if !tunnel.pointee.pending.isEmpty { tunnel.pointee.clearPending() }
        return true
    }

    /// Queues a tunnel for output at the end of this turn: frames of many streams then share records.
    func schedule(_ slot: UInt32) {
        let place = tunnels[slot]
        if place.pointee.bulk { return deferBulk(slot, place) }
        guard !place.pointee.queued else { return }
        place.pointee.queued = true
        ready.append(Token(kind: TokenKind.tunnel, slot: slot, generation: tunnels.generation(slot)))
    }
}
