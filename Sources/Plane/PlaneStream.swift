import Logging
import MeshModel
import Platform
import Reactor
import TLS

/// Frames to and from one other node, over one TLS connection, on the control loop.
///
/// Overview: modules register what they handle (`handle`, `answer`), then `start`. Frames are sent with `send`, questions asked with `request`.
/// Function: bounded both ways (`PlaneSettings`); a silent peer is asked for a sign of life and then given up; frames of unknown types are counted
/// and skipped.
/// Life: from `start` until `onClose` the loop keeps the stream alive, so whoever is done with it must `close` it. `onClose` is called exactly once.
@Control
package final class PlaneStream {
    package typealias Handler = @Control (Frame) -> Void
    /// Answers a question with the payload of the answer. What it throws goes to the asker.
    package typealias Answerer = @Control (Frame) async throws(MeshError) -> [UInt8]

    /// The URIs in the peer's certificate, its chain (leaf first), the ALPN and the other end. The caller checks what they must be.
    package let peerURIs: [String]
    package let peerChainDER: [[UInt8]]
    package let alpn: String?
    package let peer: SocketAddress?
    package let settings: PlaneSettings

    /// Called once, when the stream is over for any reason.
    package var onClose: (@Control (PlaneClosure) -> Void)?
    package internal(set) var counters = PlaneCounters()

    private enum State { case waiting, open, lingering, closed }
    private var state = State.waiting
    private var connection: TLSConnection?
    private var decoder: FrameDecoder
    private var output: OutputQueue
    private var keepalive: Keepalive
    private var watch: WatchID?
    private var interest: Interest = .read
    /// What the last read and write wait for, when it is not their own direction (TLS may need the other).
    private var writeWantsRead = false
    private var goesOnLater = false
    private var timers: [TimerID] = []
    private var handlers: [FrameType: Handler] = [:]
    var answerers: [FrameType: Answerer] = [:]
    /// Our questions without an answer.
    var asked: [UInt64: (waiter: CheckedContinuation<Result<Frame, MeshError>, Never>, timer: TimerID)] = [:]
    var nextNumber: UInt64 = 1
    /// The peer's questions that are being worked on.
    var serving = 0
    let logger = Logger(label: "weft.plane")

    /// Bytes read for one wake-up, so that one stream can't keep the loop.
    private static let readBudget = 256 << 10
    private static let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 16)

    /// A connection that a worker accepted and handed over. Its handshake is done.
    package convenience init(accepted connection: consuming TLSConnection, settings: PlaneSettings = PlaneSettings()) {
        let peer = Socket.peerAddress(connection.fd)
        self.init(connection, peer: peer, settings: settings)
    }

    init(_ connection: consuming TLSConnection, peer: SocketAddress?, settings: PlaneSettings) {
        precondition(connection.isEstablished, "the handshake comes first")
        peerURIs = connection.peerURIs
        peerChainDER = connection.peerChainDER
        alpn = connection.alpn
        self.peer = peer
        self.settings = settings
        Socket.setReceiveBuffer(connection.fd, settings.receiveBuffer)
        self.connection = consume connection
        decoder = FrameDecoder(largest: settings.maxFrameBytes)
        output = OutputQueue(bound: settings.maxQueuedBytes)
        keepalive = Keepalive(pingAfter: settings.keepalive, deadAfter: settings.deadAfter, now: .now())
    }

    package var isOpen: Bool { state == .open }
    /// Bytes that wait because the peer does not read.
    package var queuedBytes: Int { output.count }

    /// What to do with frames of one type. Set before `start`; the last one set holds.
    package func handle(_ type: FrameType, _ handler: @escaping Handler) { handlers[type] = handler }

    /// How to answer questions of one type. Set before `start`; the last one set holds.
    package func answer(_ type: FrameType, _ answerer: @escaping Answerer) { answerers[type] = answerer }

    /// Begins to read. Frames that came earlier are handled first, within this call.
    package func start() {
        guard state == .waiting, let fd = connection?.fd else { return }
        state = .open
        keepalive.heard(at: .now())
        do {
            // The strong reference is meant: the loop keeps an open stream alive.
            watch = try ControlLoop.shared.watch(fd, .read) { readiness in self.ready(readiness) }
        } catch {
            return finish(.failed(MeshError(.kernel, code: "plane_watch", "the connection can't be watched: \(error)")))
        }
        timers.append(ControlLoop.shared.every(settings.keepalive / 4) { [weak self] in self?.tick() })
        flush()
        // TLS may hold bytes that the worker's reads brought along; the socket would not become readable for them.
        receive()
    }

    // MARK: Sending

    /// Queues a frame. Before `start` it waits for it.
    ///
    /// - Throws: `plane_frame_too_large`, `plane_queue_full` (the peer does not read; nothing was queued), `plane_closed`.
    package func send(_ frame: Frame) throws(MeshError) {
        guard state == .open || state == .waiting else {
            throw MeshError(.internal, code: "plane_closed", "the stream to \(name) is closed", retryable: true)
        }
        guard Frame.header + frame.payload.count <= settings.maxFrameBytes else {
            throw MeshError(
                .internal, code: "plane_frame_too_large",
                "a frame of \(frame.payload.count) bytes for \(name) is over the bound of \(settings.maxFrameBytes)")
        }
        let wasEmpty = output.isEmpty
        guard output.append(frame) else {
            counters.queueFull &+= 1
            throw MeshError(
                .peer, code: "plane_queue_full", "\(name) does not read: \(output.count) bytes wait for it and \(frame.payload.count) more don't fit",
                remedy: "is that node overloaded or its link slow?", retryable: true)
        }
        counters.framesOut &+= 1
        if wasEmpty, state == .open { flush() }
    }

    /// Ends the stream in order: what is queued still leaves, within `lingerTimeout`, and the peer is told the reason.
    package func close(_ reason: String) {
        switch state {
        case .waiting, .open:
            _ = output.append(Frame(.goodbye, Array(reason.utf8)))
            let mayLinger = state == .open
            state = .lingering
            report(.local(reason))
            guard mayLinger else { return release() }
            timers.append(ControlLoop.shared.after(settings.lingerTimeout) { self.release() })
            flush()
        case .lingering, .closed: break
        }
    }

    /// How the peer is called in messages.
    var name: String { peerURIs.first ?? peer?.description ?? "the peer" }

    // MARK: The socket

    private func ready(_ readiness: Readiness) {
        if !output.isEmpty, !readiness.isDisjoint(with: writeWantsRead ? [.readable, .error, .hangup] : [.writable, .error, .hangup]) { flush() }
        if state == .open, !readiness.isDisjoint(with: [.readable, .error, .hangup]) { receive() }
    }

    private func flush() {
        writeWantsRead = false
        while !output.isEmpty, state == .open || state == .lingering {
            let result = output.withNext { bytes in connection?.write(bytes) ?? .endOfStream }
            switch result {
            case .bytes(let count):
                output.advance(count)
                counters.bytesOut &+= UInt64(count)
            case .wantsWrite: return wait([.read, .write])
            case .wantsRead:
                writeWantsRead = true
                return wait(.read)
            case .endOfStream: return finish(.peer("closed"))
            case .failed(let error): return finish(.failed(MeshError(error, with: peer)))
            }
        }
        if state == .lingering, output.isEmpty { return release() }
        wait(.read)
    }

    private func wait(_ wanted: Interest) {
        // A lingering stream reads nothing more, and a readable socket would wake the loop for ever.
        let wanted = state == .lingering && !writeWantsRead ? wanted.subtracting(.read) : wanted
        guard let watch, wanted != interest else { return }
        interest = wanted
        ControlLoop.shared.update(watch, wanted)
    }

    private func receive() {
        var budget = Self.readBudget
        while state == .open {
            guard budget > 0 else {
                return goOnLater()
            }
            switch connection?.read(into: Self.scratch) ?? .endOfStream {
            case .bytes(let count):
                budget -= count
                counters.bytesIn &+= UInt64(count)
                keepalive.heard(at: .now())
                decoder.append(UnsafeRawBufferPointer(rebasing: Self.scratch[..<count]))
                dispatch()
            case .wantsRead: return
            case .wantsWrite: return wait([.read, .write])
            case .endOfStream: return finish(.peer("closed without a reason"))
            case .failed(let error): return finish(.failed(MeshError(error, with: peer)))
            }
        }
    }

    /// The rest in the next turn of the loop, after the others: TLS may hold bytes for which the socket does not become readable.
    private func goOnLater() {
        guard !goesOnLater else { return }
        goesOnLater = true
        ControlLoop.shared.after(.zero) { [weak self] in
            self?.goesOnLater = false
            self?.receive()
        }
    }

    private func dispatch() {
        while state == .open {
            switch decoder.next() {
            case .more: return
            case .badLength(let length):
                return finish(
                    .failed(
                        MeshError(
                            .peer, code: "plane_bad_frame",
                            "\(name) sent a frame of \(length) bytes; from 2 to \(settings.maxFrameBytes) are allowed",
                            remedy: "is it a Weft node, and of what version?")))
            case .frame(let frame):
                counters.framesIn &+= 1
                handle(frame)
            }
        }
    }

    private func handle(_ frame: Frame) {
        switch frame.type {
        case .ping: try? send(Frame(.pong))
        case .pong: break
        case .goodbye: finish(.peer(String(decoding: frame.payload.prefix(256), as: UTF8.self)))
        case .request: serve(frame)
        case .response, .failure: answered(frame)
        default:
            guard let handler = handlers[frame.type] else { return countUnknown(frame.type) }
            handler(frame)
        }
    }

    func countUnknown(_ type: FrameType) {
        counters.unknownFrames &+= 1
        logger.debug("frame of an unknown type skipped", metadata: ["peer": "\(name)", "type": "\(type)"])
    }

    // MARK: The end

    private func tick() {
        guard state == .open else { return }
        switch keepalive.tick(.now()) {
        case .none: break
        case .ping: try? send(Frame(.ping))
        case .dead:
            // Its sign of life may wait in the socket, when it was this loop that was late.
            receive()
            guard state == .open, keepalive.tick(.now()) == .dead else { return }
            finish(
                .failed(
                    MeshError(
                        .peer, code: "plane_peer_silent", "\(name) has been silent for \(settings.deadAfter)",
                        remedy: "is that node down, or the network between?",
                        retryable: true)))
        }
    }

    private func finish(_ closure: PlaneClosure) {
        switch state {
        case .closed: break
        case .lingering: release()
        case .waiting, .open:
            release()
            report(closure)
        }
    }

    /// Gives the connection back; nothing is sent any more except TLS's own goodbye.
    private func release() {
        guard state != .closed else { return }
        state = .closed
        if let watch { ControlLoop.shared.unwatch(watch) }
        watch = nil
        for timer in timers { ControlLoop.shared.cancel(timer) }
        timers = []
        _ = connection?.shutdown()
        connection = nil
        decoder = FrameDecoder(largest: settings.maxFrameBytes)
        output = OutputQueue(bound: 0)
    }

    private func report(_ closure: PlaneClosure) {
        let error: MeshError =
            if case .failed(let error) = closure { error } else {
                MeshError(.peer, code: "plane_closed", "the stream to \(name) ended: \(closure)", retryable: true)
            }
        for number in Array(asked.keys) { settle(number, .failure(error)) }
        let onClose = self.onClose
        self.onClose = nil
        handlers = [:]
        answerers = [:]
        logger.debug("stream over", metadata: ["peer": "\(name)", "reason": "\(closure)"])
        onClose?(closure)
    }
}
