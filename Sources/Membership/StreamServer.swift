import Glibc
import Platform
import Reactor
import SWIM

/// The streams that others open: one request, one answer, closed. Bounded in number, in bytes and in time.
@Control
final class StreamServer {
    /// Open at once; further ones are closed at once, as memberlist does.
    static let bound = 64
    /// Bytes of requests held by all streams together.
    static let bytesBound = 32 << 20

    private final class Stream {
        let fd: OwnedFD
        let peer: SocketAddress
        var framer = StreamFramer(dialled: true)
        /// What it has of `held`; more than the framer keeps when its last bytes were refused.
        var held = 0
        var watch: WatchID?
        var timer: TimerID?
        var output: [UInt8] = []
        var sent = 0

        init(_ fd: consuming OwnedFD, _ peer: SocketAddress) {
            self.fd = fd
            self.peer = peer
        }
    }

    private let timeout: Duration
    private let onRequest: @Control (InboundID, [UInt8], SocketAddress) -> Void
    private let onRefusal: @Control (Refusal, SocketAddress) -> Void
    private var listener: OwnedFD?
    private var watch: WatchID?
    private var streams: [UInt64: Stream] = [:]
    private var next: UInt64 = 1
    private(set) var held = 0
    private(set) var refused: UInt64 = 0
    private(set) var timedOut: UInt64 = 0

    init(
        timeout: Duration, onRequest: @escaping @Control (InboundID, [UInt8], SocketAddress) -> Void,
        onRefusal: @escaping @Control (Refusal, SocketAddress) -> Void
    ) {
        self.timeout = timeout
        self.onRequest = onRequest
        self.onRefusal = onRefusal
    }

    func start(_ address: SocketAddress, mark: UInt32) throws(Errno) {
        let fd = try Socket.tcpListener(address, backlog: 256, mark: mark)
        watch = try ControlLoop.shared.watch(fd.raw, .read) { [weak self] _ in self?.accept() }
        listener = consume fd
    }

    func stop() {
        if let watch { ControlLoop.shared.unwatch(watch) }
        watch = nil
        listener = nil
        for number in Array(streams.keys) { close(number) }
    }

    func reply(_ id: InboundID, _ bytes: [UInt8]) {
        guard let stream = streams[id.number] else { return }
        stream.output = bytes
        write(id.number)
    }

    func close(_ id: InboundID) { close(id.number) }

    // MARK: Private

    private func accept() {
        // Bounded per turn; the watch is level-triggered.
        for _ in 0..<16 {
            guard let raw = listener?.raw else { return }
            switch Socket.accept(raw) {
            case .accepted(let fd, let peer): open(fd, peer)
            case .wouldBlock: return
            case .gone: continue
            case .exhausted: return pause()
            case .failed: return pause()
            }
        }
    }

    /// Out of descriptors: leave the rest in the backlog for a moment instead of spinning.
    private func pause() {
        guard let watch else { return }
        refused &+= 1
        ControlLoop.shared.update(watch, [])
        ControlLoop.shared.after(.milliseconds(250)) { [weak self] in
            guard let self, let watch = self.watch else { return }
            ControlLoop.shared.update(watch, .read)
        }
    }

    private func open(_ fd: consuming OwnedFD, _ peer: SocketAddress) {
        guard streams.count < Self.bound else {
            refused &+= 1
            return
        }
        let number = next
        next += 1
        let stream = Stream(fd, peer)
        guard let watch = try? ControlLoop.shared.watch(stream.fd.raw, .read, { [weak self] readiness in self?.ready(number, readiness) }) else {
            refused &+= 1
            return
        }
        stream.watch = watch
        stream.timer = ControlLoop.shared.after(timeout) { [weak self] in
            self?.timedOut &+= 1
            self?.close(number)
        }
        streams[number] = stream
    }

    private func ready(_ number: UInt64, _ readiness: Readiness) {
        guard let stream = streams[number] else { return }
        if !stream.output.isEmpty { return write(number) }
        read(number, stream)
    }

    private func read(_ number: UInt64, _ stream: Stream) {
        let result = withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 16) { buffer -> (IOResult, [UInt8]) in
            let result = Socket.read(stream.fd.raw, buffer)
            guard case .bytes(let count) = result else { return (result, []) }
            return (result, Array(buffer[..<count]))
        }
        switch result.0 {
        case .wouldBlock: return
        case .endOfStream:
            if !stream.framer.bytes.isEmpty { onRefusal(.truncated, stream.peer) }
            close(number)
        case .failed: close(number)
        case .bytes(let count):
            held += count
            stream.held += count
            guard held <= Self.bytesBound else {
                onRefusal(.full, stream.peer)
                return close(number)
            }
            do throws(Refusal) {
                guard try stream.framer.append(result.1) else { return }
            } catch {
                onRefusal(error, stream.peer)
                return close(number)
            }
            // Whole: what may still come is not read.
            if let watch = stream.watch { ControlLoop.shared.update(watch, []) }
            onRequest(InboundID(number: number), stream.framer.bytes, stream.peer)
        }
    }

    private func write(_ number: UInt64) {
        guard let stream = streams[number] else { return }
        while stream.sent < stream.output.count {
            let result = stream.output.withUnsafeBytes { Socket.write(stream.fd.raw, UnsafeRawBufferPointer(rebasing: $0[stream.sent...])) }
            switch result {
            case .bytes(let count): stream.sent += count
            case .wouldBlock:
                if let watch = stream.watch { ControlLoop.shared.update(watch, .write) }
                return
            case .endOfStream, .failed: return close(number)
            }
        }
        close(number)
    }

    private func close(_ number: UInt64) {
        guard let stream = streams.removeValue(forKey: number) else { return }
        held -= stream.held
        if let watch = stream.watch { ControlLoop.shared.unwatch(watch) }
        if let timer = stream.timer { ControlLoop.shared.cancel(timer) }
    }
}
