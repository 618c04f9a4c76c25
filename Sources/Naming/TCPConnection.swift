import Platform
import Reactor

/// One client's TCP connection: many queries, answered in any order (RFC 7766 sections 6.2.1 and 7).
@Control
final class TCPConnection {
    private let socket: WatchedSocket
    private let client: SocketAddress
    private let local: SocketAddress
    private let handler: QueryHandler
    private let onClose: @Control (TCPConnection) -> Void
    private var framer = StreamFramer()
    private var output: [UInt8] = []
    private var outstanding = 0
    private var ended = false
    private var isTaking = false
    /// When a query last came in or an answer went out; bytes of an unfinished query are no sign of life.
    private(set) var active = MonotonicTime.now()
    var isIdle: Bool { outstanding == 0 }

    /// Queries without an answer, and bytes of answers not taken, beyond which nothing more is read.
    static let maximumOutstanding = 32
    static let maximumOutput = 256 << 10

    init(
        _ descriptor: consuming OwnedFD, _ client: SocketAddress, _ local: SocketAddress, _ handler: @escaping QueryHandler,
        _ onClose: @escaping @Control (TCPConnection) -> Void
    ) {
        socket = WatchedSocket(descriptor)
        self.client = client
        self.local = local
        self.handler = handler
        self.onClose = onClose
    }

    /// Begins to read. Apart from `init`, so that the owner knows the connection before it can end.
    func start() throws(Errno) {
        Socket.setNoDelay(socket.raw)
        try socket.watch(.read) { [weak self] readiness in self?.ready(readiness) }
    }

    /// Ends it at once; the owner is told.
    func close() {
        guard socket.isOpen else { return }
        socket.close()
        onClose(self)
    }

    private var isFull: Bool { outstanding >= Self.maximumOutstanding || output.count >= Self.maximumOutput }

    private func ready(_ readiness: Readiness) {
        if !readiness.isDisjoint(with: [.error, .hangup]) { return close() }
        if readiness.contains(.writable) { flush() }
        if readiness.contains(.readable), socket.isOpen, !isFull, !ended { read() }
        settle()
    }

    private func read() {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        switch buffer.withUnsafeMutableBytes({ Socket.read(socket.raw, $0) }) {
        case .bytes(let count):
            framer.append(buffer[..<count])
            takeQueries()
        case .endOfStream: ended = true
        case .wouldBlock: return
        case .failed: close()
        }
    }

    /// Hands on what has come in whole. Answers that come at once are written together.
    private func takeQueries() {
        guard !isTaking else { return }
        isTaking = true
        var more = true
        while more {
            more = false
            while socket.isOpen, !isFull, let query = framer.next() {
                more = true
                active = .now()
                outstanding += 1
                handler(query, client, local) { [weak self] bytes in self?.answer(bytes) }
            }
            flush()
        }
        isTaking = false
    }

    /// An empty answer is none: the query deserved no reply, and a stream whose framing may be lost is ended.
    private func answer(_ bytes: [UInt8]) {
        outstanding -= 1
        guard socket.isOpen else { return }
        if bytes.isEmpty { return close() }
        active = .now()
        output += StreamFramer.framed(bytes)
        // From inside `takeQueries`, which goes on and writes by itself: no recursion over a long pipeline.
        if isTaking { return }
        flush()
        takeQueries()
        settle()
    }

    private func flush() {
        while !output.isEmpty, socket.isOpen {
            switch output.withUnsafeBytes({ Socket.write(socket.raw, $0) }) {
            case .bytes(let count): output.removeFirst(count)
            case .wouldBlock: return
            case .endOfStream, .failed: return close()
            }
        }
    }

    /// Waits for what can happen next, or closes when nothing can.
    private func settle() {
        guard socket.isOpen else { return }
        if ended, outstanding == 0, output.isEmpty { return close() }
        var interest: Interest = []
        if !isFull, !ended { interest.insert(.read) }
        if !output.isEmpty { interest.insert(.write) }
        socket.want(interest)
    }
}
