import Platform
import Reactor

/// A check over one TCP connection to the endpoint: made, used for one conversation or none, and closed.
@Control
final class SocketProbe: Probe {
    private static let readBytes = 16 << 10

    private let address: SocketAddress
    private let timeout: Duration
    private let done: @Control (ProbeResult) -> Void
    /// Nil: that the connection is accepted is enough.
    private var conversation: (any CheckConversation)?
    private var unsent: ArraySlice<UInt8> = []
    private var fd: OwnedFD?
    private var watch: WatchID?
    private var timer: TimerID?
    private var isConnected = false
    private var isOver = false

    /// Begins at once; `done` is called once, and perhaps before this returns, unless `cancel` came first.
    static func start(
        _ address: SocketAddress, mark: UInt32, timeout: Duration, conversation: (any CheckConversation)?, done: @escaping @Control (ProbeResult) -> Void
    ) -> SocketProbe {
        let probe = SocketProbe(address, timeout, conversation, done)
        probe.connect(mark)
        return probe
    }

    private init(_ address: SocketAddress, _ timeout: Duration, _ conversation: (any CheckConversation)?, _ done: @escaping @Control (ProbeResult) -> Void) {
        self.address = address
        self.timeout = timeout
        self.conversation = conversation
        self.done = done
    }

    func cancel() { end() }

    private func connect(_ mark: UInt32) {
        do throws(Errno) {
            let fd = try Socket.connect(to: address, mark: mark)
            let raw = fd.raw
            self.fd = consume fd
            watch = try ControlLoop.shared.watch(raw, .write) { [weak self] ready in self?.ready(raw, ready) }
        } catch {
            return finish("connecting to \(address) failed: \(Errno.message(error.code))")
        }
        timer = ControlLoop.shared.after(timeout) { [weak self] in self?.timedOut() }
    }

    private func timedOut() {
        let within = "within \(timeout.milliseconds) ms"
        if isConnected, let conversation {
            finish("\(conversation.question): no complete answer \(within)")
        } else {
            finish("\(address) did not accept a connection \(within)")
        }
    }

    private func ready(_ raw: CInt, _ ready: Readiness) {
        if !isConnected {
            if let error = Socket.error(raw) { return finish("connecting to \(address) failed: \(Errno.message(error.code))") }
            isConnected = true
            if conversation == nil { return finish(nil) }
        }
        if ready.contains(.readable) || ready.contains(.hangup) || ready.contains(.error) { read(raw) }
        if !isOver { write(raw) }
    }

    private func read(_ raw: CInt) {
        withUnsafeTemporaryAllocation(byteCount: Self.readBytes, alignment: 1) { buffer in
            switch Socket.read(raw, buffer) {
            case .bytes(let count):
                let verdict = conversation?.received(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: .now())
                judge(verdict ?? .waiting)
            case .endOfStream: judge(conversation?.ended() ?? .waiting)
            case .wouldBlock: break
            case .failed(let error): judge(.failed("the connection failed: \(Errno.message(error.code))"))
            }
        }
    }

    private func write(_ raw: CInt) {
        if let more = conversation?.takeOutput() { unsent += more }
        while !unsent.isEmpty {
            let result = unsent.withUnsafeBytes { Socket.write(raw, $0) }
            switch result {
            case .bytes(let count): unsent = unsent.dropFirst(count)
            case .wouldBlock, .endOfStream:
                if let watch { ControlLoop.shared.update(watch, [.read, .write]) }
                return
            case .failed(let error):
                // What the endpoint said before it closed tells more, and is read first.
                return judge(.failed("the connection failed: \(Errno.message(error.code))"))
            }
        }
        if let watch { ControlLoop.shared.update(watch, .read) }
    }

    private func judge(_ verdict: CheckVerdict) {
        switch verdict {
        case .waiting: break
        case .passed: finish(nil)
        case .failed(let why): finish("\(conversation?.question ?? "\(address)"): \(why)")
        }
    }

    private func finish(_ failure: String?) {
        guard !isOver else { return }
        end()
        done(ProbeResult(failure: failure))
    }

    private func end() {
        guard !isOver else { return }
        isOver = true
        if let watch { ControlLoop.shared.unwatch(watch) }
        if let timer { ControlLoop.shared.cancel(timer) }
        // An ordinary end: many applications log a reset as an error.
        _ = fd.take()
    }
}
