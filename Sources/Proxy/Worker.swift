import CLinux
import Capture
import Glibc
import HTTPWire
import MeshModel
import Platform
import Reactor
import Synchronization
import TLS
import Traffic

/// One thread of the data path.
///
/// Overview: accepts captured connections and tunnels, finds out who calls whom, connects, and moves bytes until both sides are done. A connection lives and
/// dies on one worker, which need not be the one that accepted it; nothing here is shared but the mailboxes, the load board and the counters of namespaces.
/// Function: an edge-triggered epoll loop. Every event names a slot of a slab; the flow or tunnel in it is taken by pointer once and passed down.
/// Implementation: extensions by topic. `@unchecked Sendable` because all state but `mailbox`, `reports`, `tenants`, `board` and `beat` is touched only by the worker's own thread,
/// from `run` on; it is created by the thread that starts it.
final class Worker: @unchecked Sendable {
    static let scratchSize = 128 * 1024
    /// What a relay reads at once.
    static let relayRead = 64 * 1024
    /// A flow is spliced once so much has passed, and while a turn brings at least `bulkRead`.
    static let spliceThreshold: UInt64 = 64 * 1024
    static let bulkRead = 16 * 1024
    /// The worker is given its share of the processor in pieces so long, in nanoseconds: where all processors are busy, small messages wait less for it, and for
    /// another's bulk. (The kernel's own pieces of 1.4 ms or more made 5 ms at p99 where these make 4.)
    private static let timeSlice: UInt64 = 500_000

    /// Messages that may wait.
    static let messages = 4096

    let index: Int
    let settings: ProxySettings
    let mailbox: Mailbox<WorkerMessage>
    let reports: Mailbox<WorkerReport>
    let tenants: Tenants
    /// What each worker has to do, and where to send it connections, by index. The second is set before `run`.
    let board: LoadBoard
    var mailboxes: [Mailbox<WorkerMessage>] = []
    /// The last `beat` that the loop has answered.
    let beat = Atomic<UInt64>(0)
    /// What must not be lost when the mailbox is full: only the last of each counts.
    private let orders = Mutex(Orders())
    private struct Orders {
        var snapshot: Snapshot?
        var stopAt: MonotonicTime?
    }

    let epoll: Epoll
    var listeners: [Listener] = []
    var flows: Slab<Flow>
    var tunnels: Slab<TunnelSlot>
    /// Closed in this turn: see `Tunnel`.
    var buried: [TunnelPointer] = []
    /// Those that others opened, handshakes included.
    var acceptedTunnels = 0
    var wheel: TimerWheel
    var pipes: PipePool
    let scratch: UnsafeMutableRawPointer
    /// Frames on their way into one TLS record.
    let output: UnsafeMutableRawPointer
    /// Records on their way between the tunnels and the kernel; nil when the kernel makes them.
    let tlsBuffers: TLSBuffers?
    var lookup: CallerLookup
    var clientPorts: ClientPorts

    var snapshot: Snapshot?
    var isListening = false
    private var wasReady = false
    var clientContext: TLSContext?
    var serverContext: TLSContext?
    /// Which identity the client-hello callback chose, for the tunnel whose handshake is running.
    var presenting: NameID = 0
    var pool: [TunnelKey: [UInt32]] = [:]
    var balancers: [SocketAddress: RoundRobin] = [:]

    var now: MonotonicTime
    /// Flows and tunnels that had more to do than one turn allows.
    var ready: [Token] = []
    var readyNow: [Token] = []
    /// Flows that move much: see Worker+Bulk.swift.
    var bulk: [Token] = []
    var bulkNow: [Token] = []
    /// Nanoseconds until the first of them has its turn.
    var bulkPause: UInt64 = 0
    /// When there was something to move for a flow or tunnel that does not move much.
    var smallSeen: UInt64 = 0
    var due: [Token] = []
    /// Records of flows that ended in this turn.
    var ended: [FlowRecord] = []
    var statistics = WorkerStatistics()
    /// When the worker last looked at itself, and the thread's processor time then, in nanoseconds; and the percent of a core that it had used.
    var lookedAt: UInt64 = 0
    var usedBefore: UInt64 = 0
    var busy = 0
    /// Flows that have ended: since the start, until that look, and in the tenth of a second before it.
    var finished: UInt64 = 0
    var finishedBefore: UInt64 = 0
    var finishedLately = 0
    var tally = FlowTally()
    /// How often each problem was told since the second began.
    var problems: [String: Int] = [:]
    var problemsSince = MonotonicTime(nanoseconds: 0)
    var bufferedBytes = 0
    /// Accepted connections on the tunnel port whose handshake is not over.
    var handshakes = 0
    var acceptsPausedUntil: MonotonicTime?
    /// Given up to accept one connection and close it when descriptors run out, so that callers see an end instead of silence.
    var reserve: OwnedFD?
    var stopAt: MonotonicTime?
    var events: HTTP2EventBuffer
    var fields = HTTP2HeaderList()

    struct Listener {
        var fd: OwnedFDBox
        var address: SocketAddress
        var kind: UInt8
        /// Of an explicit listener: its index in the settings and the snapshot.
        var number: Int
    }
    /// A descriptor in an array, which cannot hold noncopyable values.
    final class OwnedFDBox {
        let fd: OwnedFD
        init(_ fd: consuming OwnedFD) { self.fd = fd }
    }

    init(
        index: Int, settings: ProxySettings, reports: Mailbox<WorkerReport>, tenants: Tenants = Tenants(), board: LoadBoard = LoadBoard(workers: 1)
    ) throws(MeshError) {
        self.index = index
        self.settings = settings
        self.reports = reports
        self.tenants = tenants
        self.board = board
        now = .now()
        flows = Slab(bound: settings.limits.flows, blank: Flow())
        tunnels = Slab(bound: settings.limits.tunnels, blank: TunnelSlot())
        wheel = TimerWheel(now: now)
        clientPorts = ClientPorts(ephemeral: settings.ephemeralPorts, seed: .random(in: 1 ... .max))
        pipes = PipePool(bound: settings.limits.idlePipes, most: settings.limits.pipes)
        scratch = .allocate(byteCount: Self.scratchSize, alignment: 4096)
        output = .allocate(byteCount: 16_384, alignment: 4096)
        tlsBuffers = settings.kernelTLS ? nil : TLSBuffers()
        events = HTTP2EventBuffer()
        statistics.worker = index
        do {
            mailbox = try Mailbox(bound: Self.messages)
            epoll = try Epoll()
            lookup = try CallerLookup()
            reserve = OwnedFD(consuming: try systemCall { clinux_open("/dev/null", O_RDONLY | O_CLOEXEC, 0) })
            try epoll.add(mailbox.fd, events: EpollBits.read, data: Token(kind: TokenKind.mailbox, slot: 0, generation: 0).raw)
        } catch {
            throw MeshError(.kernel, code: "worker_start", "worker \(index) cannot start: \(error)", remedy: "check the open-files limit and CAP_NET_ADMIN")
        }
        try listen(settings.outbound, TokenKind.outboundListener, "captured outbound connections")
        try listen(settings.inbound, TokenKind.inboundListener, "captured inbound connections")
        try listen(settings.tunnel, TokenKind.tunnelListener, "tunnels")
        for (index, address) in settings.explicit.enumerated() { try listen([address], TokenKind.explicitListener, "an explicit listener", number: index) }
    }

    deinit {
        scratch.deallocate()
        output.deallocate()
    }

    private func listen(_ addresses: [SocketAddress], _ kind: UInt8, _ purpose: String, number: Int = 0) throws(MeshError) {
        for address in addresses {
            do {
                // Accepted sockets inherit all of this: no call for any of it when a connection comes. The mark too: what the proxy answers must not be
                // captured either.
                let fd = try Socket.tcpListener(
                    address, backlog: CInt(settings.backlog), reusePort: true, transparent: kind == TokenKind.inboundListener, mark: settings.excludedMark)
                Socket.setNoDelay(fd.raw)
                keepAlive(fd.raw)
                // A tunnel carries many flows; what each of them may hold is bounded by its window.
                if kind != TokenKind.tunnelListener { Socket.setUnsentLimit(fd.raw, CInt(settings.limits.unsentBytes)) }
                listeners.append(Listener(fd: OwnedFDBox(fd), address: address, kind: kind, number: number))
            } catch where error.code == EADDRINUSE {
                throw MeshError(
                    .configuration, code: "port_in_use", "\(address), for \(purpose), is in use by another program",
                    remedy: "`ss -ltnp` shows which; stop it, or choose another port under `ports:` in the configuration")
            } catch where error.code == EADDRNOTAVAIL {
                throw MeshError(
                    .configuration, code: "address_not_available", "\(address), for \(purpose), is not an address of this host",
                    remedy: "check `node.address` in the configuration against `ip address`")
            } catch {
                throw MeshError(.kernel, code: "listen", "cannot listen on \(address) for \(purpose): \(error)")
            }
        }
    }

    // MARK: The loop

    /// Runs until drained. Called once, on the worker's own thread.
    func run() {
        clinux_name_thread("weft-worker-\(index)")
        // Best effort: a filter of system calls or an older kernel leaves the default.
        _ = clinux_set_slice(Self.timeSlice)
        let buffer = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: 256)
        defer { buffer.deallocate() }
        while true {
            let count = wait(buffer)
            now = .now()
            wheel.catchUp(now)
            statistics.turns &+= 1
            for index in 0..<count { dispatch(Token(raw: buffer[index].data.u64), buffer[index].events) }
            runReady()
            if !bulk.isEmpty { runBulk() }
            advanceTimers()
            if !ended.isEmpty { report() }
            if !buried.isEmpty { freeBuried() }
            flows.shrinkIfEmpty()
            look()
            if let stopAt, now >= stopAt || isDrained() { break }
        }
        // Others may have sent connections until this moment.
        mailbox.close()
        readMailbox()
        closeEverything(.agentStopping)
        freeBuried()
        reports.post(.stopped(worker: index))
    }

    private func wait(_ buffer: UnsafeMutableBufferPointer<epoll_event>) -> Int {
        if !ready.isEmpty { return epoll.wait(buffer, milliseconds: 0) }
        if !bulk.isEmpty { return epoll.wait(buffer, nanoseconds: bulkPause) }
        var wait = wheel.milliseconds
        // No timer of the wheel may be set, and the end of the grace comes all the same.
        if wait < 0, stopAt != nil { wait = Self.drainTick }
        return epoll.wait(buffer, milliseconds: wait)
    }

    @inline(__always)
    private func dispatch(_ token: Token, _ bits: UInt32) {
        switch token.kind {
        case TokenKind.client, TokenKind.server:
            // Stale: the flow was closed earlier in this batch.
            guard let flow = flows.get(token.slot, generation: token.generation) else { return }
            onSocket(token, flow, bits)
        case TokenKind.tunnel:
            guard let tunnel = tunnels.get(token.slot, generation: token.generation) else { return }
            onTunnel(token.slot, tunnel, bits)
        case TokenKind.mailbox: readMailbox()
        default: accept(Int(token.slot))
        }
    }

    /// Gives flows and tunnels that used up their budget another turn.
    private func runReady() {
        if ready.isEmpty { return }
        swap(&ready, &readyNow)
        // By index: to go through the array itself would count a reference.
        for index in 0..<readyNow.count {
            let token = readyNow[index]
            if token.kind == TokenKind.tunnel {
                guard let tunnel = tunnels.get(token.slot, generation: token.generation) else { continue }
                again(token.slot, tunnel)
            } else {
                guard let flow = flows.get(token.slot, generation: token.generation) else { continue }
                flow.pointee.queued = false
                pumpAll(token.slot, flow)
            }
        }
        readyNow.removeAll(keepingCapacity: true)
    }

    /// A tunnel's turn that was put off: output, and input if some is left.
    func again(_ slot: UInt32, _ tunnel: UnsafeMutablePointer<TunnelSlot>) {
        tunnel.pointee.queued = false
        let bits = tunnel.pointee.readMore ? EpollBits.read : 0
        tunnel.pointee.readMore = false
        work(slot, tunnel, bits)
    }

    /// From any thread.
    func offer(_ snapshot: Snapshot) {
        orders.withLock { $0.snapshot = snapshot }
        // A full mailbox will be read after this, and the orders with it.
        mailbox.post(.orders)
    }

    /// From any thread: stop accepting, finish what is open until the deadline, then stop.
    func stop(at deadline: MonotonicTime) {
        orders.withLock { $0.stopAt = deadline }
        mailbox.post(.orders)
    }

    private func readMailbox() {
        let messages = mailbox.take()
        let orders = orders.withLock { orders in
            let taken = orders
            orders = Orders()
            return taken
        }
        if let next = orders.snapshot { adopt(next) }
        for message in messages {
            switch message {
            case .orders: break
            case .scrape(let reply): reply(scrape())
            case .list(let limit, let reply): reply(list(limit))
            case .release: if snapshot == nil { startListening() }
            case .beat(let number): beat.store(number, ordering: .releasing)
            case .forget(let address): forgetNode(address)
            case .serve(let connection): serve(connection)
            }
        }
        // After what was accepted before.
        if let deadline = orders.stopAt { drain(until: deadline) }
    }

    /// Takes a new snapshot over; flows that exist keep what they took from the old one.
    private func adopt(_ next: Snapshot) {
        let first = snapshot == nil && !isListening
        if snapshot?.trust !== next.trust || clientContext == nil { makeContexts(next) }
        snapshot = next
        // What services that are gone had in turn is forgotten.
        if balancers.count > next.services.count { balancers = balancers.filter { next.services[$0.key] != nil } }
        if first { startListening() }
        if !wasReady {
            wasReady = true
            reports.post(.ready(worker: index))
        }
    }

    // MARK: Stopping

    private static let drainTick: CInt = 100

    private func drain(until deadline: MonotonicTime) {
        guard stopAt == nil else { return }
        stopAt = deadline
        takesNoMore()
        if isListening { for listener in listeners { epoll.remove(listener.fd.fd.raw) } }
        listeners.removeAll()
        // Nobody waits for the answers that these are open for.
        for slot in flows.liveSlots where flows[slot].pointee.phase == .opening && flows[slot].pointee.client < 0 && flows[slot].pointee.direction == .outbound {
            finish(slot, flows[slot], .clientReset)
        }
        for slot in tunnels.liveSlots {
            if let tunnel = tunnels[slot].pointee.tunnel { drainTunnel(slot, tunnel) }
        }
    }

    /// No flow is left, and nothing of one that ended waits for a tunnel's socket.
    private func isDrained() -> Bool {
        guard flows.count == 0, ready.isEmpty, bulk.isEmpty else { return false }
        return tunnels.liveSlots.allSatisfy { tunnels[$0].pointee.tunnel?.pointee.writeBlocked != true }
    }
}
