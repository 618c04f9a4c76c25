import Glibc
import Platform
import Reactor
import SWIM

/// The streams that the core asks for: connect, write the request, read one whole answer.
@Control
final class StreamDialer {
    private final class Stream {
        let fd: OwnedFD
        let request: [UInt8]
        var sent = 0
        var isConnected = false
        var framer = StreamFramer(dialled: false)
        var watch: WatchID?
        var timer: TimerID?

        init(_ fd: consuming OwnedFD, _ request: [UInt8]) {
            self.fd = fd
            self.request = request
        }
    }

    private let mark: UInt32
    private let local: IPAddress?
    private let onAnswer: @Control (DialID, [UInt8]) -> Void
    private let onFailure: @Control (DialID, DialFailure) -> Void
    private var streams: [DialID: Stream] = [:]

    /// - Parameter local: the address to call from, so that others see the one they know; nil lets the kernel choose.
    init(
        mark: UInt32, local: IPAddress?, onAnswer: @escaping @Control (DialID, [UInt8]) -> Void,
        onFailure: @escaping @Control (DialID, DialFailure) -> Void
    ) {
        self.mark = mark
        self.local = local
        self.onAnswer = onAnswer
        self.onFailure = onFailure
    }

    /// Never calls back before it has returned.
    func dial(_ id: DialID, to address: SocketAddress, request: [UInt8], timeout: Duration) {
        let from = local.flatMap { $0.family == address.ip.family ? SocketAddress($0, port: 0) : nil }
        do throws(Errno) {
            let stream = Stream(try Socket.connect(to: address, from: from, mark: mark), request)
            stream.watch = try ControlLoop.shared.watch(stream.fd.raw, .write) { [weak self] readiness in self?.ready(id, readiness) }
            stream.timer = ControlLoop.shared.after(timeout) { [weak self] in self?.fail(id, .timedOut) }
            streams[id] = stream
        } catch {
            let failure = Self.failure(error)
            ControlLoop.shared.after(.zero) { [weak self] in self?.onFailure(id, failure) }
        }
    }

    func hangUp(_ id: DialID) { _ = remove(id) }

    func stop() {
        for id in Array(streams.keys) { _ = remove(id) }
    }

    // MARK: Private

    private func ready(_ id: DialID, _ readiness: Readiness) {
        guard let stream = streams[id] else { return }
        if !stream.isConnected {
            if let error = Socket.error(stream.fd.raw) { return fail(id, Self.failure(error)) }
            stream.isConnected = true
        }
        stream.sent < stream.request.count ? write(id, stream) : read(id, stream)
    }

    private func write(_ id: DialID, _ stream: Stream) {
        while stream.sent < stream.request.count {
            let result = stream.request.withUnsafeBytes { Socket.write(stream.fd.raw, UnsafeRawBufferPointer(rebasing: $0[stream.sent...])) }
            switch result {
            case .bytes(let count): stream.sent += count
            case .wouldBlock: return
            case .endOfStream, .failed: return fail(id, .closed)
            }
        }
        if let watch = stream.watch { ControlLoop.shared.update(watch, .read) }
    }

    private func read(_ id: DialID, _ stream: Stream) {
        let result = withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 16) { buffer -> (IOResult, [UInt8]) in
            let result = Socket.read(stream.fd.raw, buffer)
            guard case .bytes(let count) = result else { return (result, []) }
            return (result, Array(buffer[..<count]))
        }
        switch result.0 {
        case .wouldBlock: return
        case .endOfStream: fail(id, stream.framer.bytes.isEmpty ? .closed : .invalid(.truncated))
        case .failed(let error): fail(id, Self.failure(error))
        case .bytes:
            do throws(Refusal) {
                guard try stream.framer.append(result.1) else { return }
            } catch {
                return fail(id, .invalid(error))
            }
            if let stream = remove(id) { onAnswer(id, stream.framer.bytes) }
        }
    }

    private func fail(_ id: DialID, _ failure: DialFailure) {
        if remove(id) != nil { onFailure(id, failure) }
    }

    private func remove(_ id: DialID) -> Stream? {
        guard let stream = streams.removeValue(forKey: id) else { return nil }
        if let watch = stream.watch { ControlLoop.shared.unwatch(watch) }
        if let timer = stream.timer { ControlLoop.shared.cancel(timer) }
        return stream
    }

    private static func failure(_ error: Errno) -> DialFailure {
        switch error.code {
        case ECONNREFUSED: .refused
        case ETIMEDOUT: .timedOut
        case ECONNRESET, EPIPE: .closed
        default: .unreachable
        }
    }
}
