import Glibc
import Logging
import Platform
import Reactor

/// Hands queries to the host's resolvers and brings their answers back. The sockets' side of `Exchange` and `Upstreams`.
///
/// Every attempt has its own connected socket, so a forged answer must guess the port as well as the id, and the kernel tells at once
/// when nobody listens. Sockets carry the excluded mark: they are not captured again.
@Control
final class Forwarder {
    enum Transport { case udp, tcp }

    private var upstreams: Upstreams
    private let mark: UInt32
    private let maximum: Int
    private var waiting: [UInt64: Attempt] = [:]
    private var nextNumber: UInt64 = 0
    private var generator = SystemRandomNumberGenerator()
    private let logger: Logger
    private(set) var counters = DNSCounters()
    /// One buffer for all datagrams.
    private var scratch = [UInt8](repeating: 0, count: DNSBounds.message)

    /// Of one attempt. Three of them end before the 5 s in which the C library gives up.
    static let udpTimeout = Duration.milliseconds(1500)
    /// A connection, and perhaps a long answer.
    static let tcpTimeout = Duration.seconds(3)

    /// One query at one resolver.
    private final class Attempt {
        let transport: Transport
        let upstream: SocketAddress
        var exchange: Exchange
        let reply: @Control ([UInt8]) -> Void
        let socket: WatchedSocket
        var timer: TimerID?
        /// What is still to be written (TCP).
        var output: ArraySlice<UInt8>
        var framer = StreamFramer()

        init(
            _ transport: Transport, _ upstream: SocketAddress, _ exchange: Exchange, _ socket: WatchedSocket, _ output: [UInt8],
            _ reply: @escaping @Control ([UInt8]) -> Void
        ) {
            self.transport = transport
            self.upstream = upstream
            self.exchange = exchange
            self.socket = socket
            self.output = output[...]
            self.reply = reply
        }
    }

    /// - Parameter maximum: queries that may wait at once; further ones fail at once.
    init(upstreams: Upstreams, mark: UInt32, maximum: Int, logger: Logger) {
        self.upstreams = upstreams
        self.mark = mark
        self.maximum = maximum
        self.logger = logger
    }

    var count: Int { waiting.count }
    var addresses: [SocketAddress] { upstreams.addresses }
    func isDead(_ address: SocketAddress) -> Bool { upstreams.isDead(address, .now()) }
    func replaceUpstreams(_ addresses: [SocketAddress], own: [SocketAddress]) { upstreams.replace(with: addresses, own: own) }

    /// Calls `reply` once: with a resolver's answer, or SERVFAIL. Not after `stop`.
    /// - Parameter query: as it came from the client, at least a header.
    func forward(_ query: [UInt8], _ transport: Transport, _ reply: @escaping @Control ([UInt8]) -> Void) {
        guard waiting.count < maximum else {
            counters.forwardFull += 1
            return reply(Exchange.serverFailure(query))
        }
        counters.forwarded += 1
        begin(Exchange(query, plan: upstreams.plan(.now())), transport, reply)
    }

    /// Forgets every waiting query.
    func stop() {
        for number in waiting.keys.sorted() { _ = finish(number) }
    }

    // MARK: One attempt

    private func begin(_ started: Exchange, _ transport: Transport, _ reply: @escaping @Control ([UInt8]) -> Void) {
        var exchange = started
        while let (address, bytes) = exchange.next(using: &generator) {
            do throws(Errno) {
                try attempt(exchange, address, bytes, transport, reply)
                return
            } catch {
                logger.debug("resolver cannot be asked", metadata: ["resolver": "\(address)", "error": "\(error)"])
                // Without a route the next, perhaps of the other family, is the better one. Any other error is this host's own.
                if [ENETUNREACH, EHOSTUNREACH, ECONNREFUSED].contains(error.code) { upstreams.failed(address, refused: true, .now()) }
                counters.forwardRetries += 1
            }
        }
        if exchange.hasReply { counters.forwardAnswered += 1 } else { counters.forwardFailed += 1 }
        reply(exchange.failure)
    }

    private func attempt(
        _ exchange: Exchange, _ address: SocketAddress, _ bytes: [UInt8], _ transport: Transport, _ reply: @escaping @Control ([UInt8]) -> Void
    ) throws(Errno) {
        let socket: WatchedSocket
        switch transport {
        case .udp: socket = WatchedSocket(try Self.connectedUDP(address, mark))
        case .tcp: socket = WatchedSocket(try Socket.connect(to: address, mark: mark))
        }
        let attempt = Attempt(transport, address, exchange, socket, transport == .tcp ? StreamFramer.framed(bytes) : [], reply)
        nextNumber += 1
        let number = nextNumber
        if transport == .udp, case .failed(let error) = bytes.withUnsafeBytes({ Socket.write(socket.raw, $0) }) {
            socket.close()
            throw error
        }
        do throws(Errno) {
            try socket.watch(transport == .udp ? .read : [.read, .write]) { [weak self] _ in self?.ready(number) }
        } catch {
            socket.close()
            throw error
        }
        waiting[number] = attempt
        attempt.timer = ControlLoop.shared.after(transport == .udp ? Self.udpTimeout : Self.tcpTimeout) { [weak self] in
            guard let self else { return }
            counters.forwardTimeouts += 1
            failed(number, refused: false)
        }
    }

    private static func connectedUDP(_ address: SocketAddress, _ mark: UInt32) throws(Errno) -> OwnedFD {
        // Port 0: the kernel takes a random one.
        let socket = try Socket.udp(SocketAddress(address.ip.isV4 ? .anyV4 : .anyV6, port: 0), mark: mark)
        let raw = socket.raw
        _ = try systemCall { address.withSockaddr { connect(raw, $0, $1) } }
        return socket
    }

    private func ready(_ number: UInt64) {
        guard let attempt = waiting[number] else { return }
        switch attempt.transport {
        case .udp: receive(number, attempt)
        case .tcp: exchangeStream(number, attempt)
        }
    }

    private func receive(_ number: UInt64, _ attempt: Attempt) {
        // Forgers may send many; the loop goes on to others after some.
        for _ in 0..<16 {
            switch scratch.withUnsafeMutableBytes({ Socket.read(attempt.socket.raw, $0) }) {
            case .bytes(let count): if judge(number, attempt, Array(scratch[..<count])) { return }
            // An empty datagram.
            case .endOfStream: counters.garbage += 1
            case .wouldBlock: return
            case .failed: return failed(number, refused: true)
            }
        }
    }

    private func exchangeStream(_ number: UInt64, _ attempt: Attempt) {
        while !attempt.output.isEmpty {
            switch attempt.output.withUnsafeBytes({ Socket.write(attempt.socket.raw, $0) }) {
            case .bytes(let count):
                attempt.output = attempt.output.dropFirst(count)
                if attempt.output.isEmpty { attempt.socket.want(.read) }
            case .wouldBlock: return
            case .endOfStream, .failed: return failed(number, refused: true)
            }
        }
        for _ in 0..<16 {
            switch scratch.withUnsafeMutableBytes({ Socket.read(attempt.socket.raw, $0) }) {
            case .bytes(let count):
                attempt.framer.append(scratch[..<count])
                while let message = attempt.framer.next() { if judge(number, attempt, message) { return } }
            case .wouldBlock: return
            case .endOfStream, .failed: return failed(number, refused: false)
            }
        }
    }

    /// Whether the attempt is over.
    private func judge(_ number: UInt64, _ attempt: Attempt, _ message: [UInt8]) -> Bool {
        switch attempt.exchange.judge(message) {
        case .garbage:
            counters.garbage += 1
            return false
        case .answer(let bytes):
            guard finish(number) != nil else { return true }
            upstreams.answered(attempt.upstream)
            counters.forwardAnswered += 1
            attempt.reply(bytes)
        case .tryNext:
            guard finish(number) != nil else { return true }
            upstreams.answered(attempt.upstream)
            counters.forwardRetries += 1
            begin(attempt.exchange, attempt.transport, attempt.reply)
        }
        return true
    }

    private func failed(_ number: UInt64, refused: Bool) {
        guard let attempt = finish(number) else { return }
        let now = MonotonicTime.now()
        let wasDead = upstreams.isDead(attempt.upstream, now)
        upstreams.failed(attempt.upstream, refused: refused, now)
        if !wasDead, upstreams.isDead(attempt.upstream, now) {
            logger.warning(
                "resolver does not answer; others are asked first", metadata: ["resolver": "\(attempt.upstream)", "for": "\(Upstreams.deadFor)"])
        }
        counters.forwardRetries += 1
        begin(attempt.exchange, attempt.transport, attempt.reply)
    }

    private func finish(_ number: UInt64) -> Attempt? {
        guard let attempt = waiting.removeValue(forKey: number) else { return nil }
        if let timer = attempt.timer { ControlLoop.shared.cancel(timer) }
        attempt.socket.close()
        return attempt
    }
}
