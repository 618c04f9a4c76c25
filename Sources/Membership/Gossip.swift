import Glibc
import Logging
import MeshModel
import Platform
import Reactor
import SWIM

/// This node in the gossip pool: the shell of `SWIMCore`.
///
/// Overview: one UDP socket and one TCP listener on the same address and port, on the control loop.
/// Function: `start`, `join` some addresses, listen to `onEvent`; `leave` says goodbye, `stop` closes without a word.
/// Implementation: sockets, timers and streams become events of the core; its effects become system calls.
@Control
package final class Gossip {
    package nonisolated let configuration: GossipConfiguration
    /// Called for every change of another member, in order, on the control loop.
    package var onEvent: (@Control (GossipEvent) -> Void)?

    private var core: SWIMCore
    private let logger: Logger
    private var random: SWIMRandom
    private var effects: [SWIMEffect] = []
    private var isStepping = false
    private var waiting: [SWIMEvent] = []
    private var timers: [SWIMTimer: TimerID] = [:]
    private(set) var isRunning = false
    private var datagrams: DatagramSocket?
    private var server: StreamServer?
    private var dialer: StreamDialer?
    private var nextJoin: UInt64 = 1
    private var joins: [JoinID: CheckedContinuation<JoinResult, Never>] = [:]
    private var leaves: [CheckedContinuation<Void, Never>] = []
    private var ring: Keyring
    private var lastRefusalLogged: MonotonicTime?
    private(set) var log = MemberLog()
    var readers: [UInt64: Reader] = [:]
    var nextReader: UInt64 = 0

    package init(_ configuration: GossipConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        ring = configuration.keyring
        core = SWIMCore(configuration.core, cipher: AESGCM(configuration.keyring))
        var system = SystemRandomNumberGenerator()
        random = SWIMRandom(seed: system.next())
    }

    // MARK: Life

    /// Opens the sockets and becomes a pool of one. A second call does nothing.
    /// - Throws: `gossip_configuration` for a value that cannot work, `gossip_socket` when the kernel refuses the address.
    package func start() throws(MeshError) {
        guard !isRunning else { return }
        if let problem = configuration.problem {
            throw MeshError(
                .configuration, code: "gossip_configuration", "gossip cannot start: \(problem)", remedy: "correct it in the gossip section")
        }
        do throws(Errno) {
            try open()
        } catch {
            closeSockets()
            throw MeshError(
                .kernel, code: "gossip_socket", "gossip cannot use \(configuration.bind): \(error)",
                remedy: error.code == EADDRINUSE
                    ? "another process has the port (ss -lnup 'sport = :\(configuration.bind.port)' names it); stop it or choose another address"
                    : error.code == EADDRNOTAVAIL ? "the address is not one of this host's" : "")
        }
        isRunning = true
        step(.start)
    }

    private func open() throws(Errno) {
        let server = StreamServer(
            timeout: configuration.timers.streamTimeout,
            onRequest: { [weak self] id, bytes, peer in self?.step(.request(id, bytes, from: peer)) },
            onRefusal: { [weak self] reason, peer in self?.step(.streamRefused(reason, from: peer)) })
        try server.start(configuration.bind, mark: configuration.mark)
        self.server = server
        let datagrams = DatagramSocket(
            onDatagram: { [weak self] bytes, source, waited in self?.step(.datagram(bytes, from: source, waited: waited)) },
            onLoss: { [weak self] in self?.step(.overrun) })
        try datagrams.start(configuration.bind, mark: configuration.mark)
        self.datagrams = datagrams
        dialer = StreamDialer(
            mark: configuration.mark, local: configuration.bind.ip.isUnspecified ? nil : configuration.bind.ip,
            onAnswer: { [weak self] id, bytes in self?.step(.answer(id, bytes)) },
            onFailure: { [weak self] id, failure in self?.step(.dialFailed(id, failure)) })
    }

    /// Exchanges state with each address, all at once; returns when the last has answered or failed.
    /// Addresses that failed are called again from time to time while nobody in the pool has them.
    package func join(_ addresses: [SocketAddress]) async -> JoinResult {
        let id = JoinID(number: nextJoin)
        nextJoin += 1
        return await withCheckedContinuation { continuation in
            // Asked inside: it may have stopped between the `await` and here.
            guard isRunning else { return continuation.resume(returning: JoinResult(contacted: 0, failures: [])) }
            joins[id] = continuation
            step(.join(id, addresses))
        }
    }

    /// After `start`: is in a pool with all of these as if they had joined each other long ago. For pools in one process that do not begin with their joins.
    package func adopt(_ others: [Gossip]) {
        core.adopt(others.compactMap { $0.core.member($0.configuration.name) }, seeds: [], rng: &random)
    }

    /// Tells the pool, answers for about a second more, and stops.
    package func leave() async {
        await withCheckedContinuation { continuation in
            guard isRunning else { return continuation.resume() }
            leaves.append(continuation)
            step(.leave)
        }
    }

    /// Closes at once; the pool will find us dead. Waiting joins and leaves return.
    package func stop() {
        guard isRunning else { return }
        isRunning = false
        closeSockets()
        for timer in timers.values { ControlLoop.shared.cancel(timer) }
        timers = [:]
        waiting = []
        for join in joins.values { join.resume(returning: JoinResult(contacted: 0, failures: [])) }
        joins = [:]
        for leave in leaves { leave.resume() }
        leaves = []
        wakeReaders()
    }

    private func closeSockets() {
        datagrams?.stop()
        server?.stop()
        dialer?.stop()
    }

    // MARK: Asking and telling

    /// Ourselves included, sorted by name. The dead and the gone stay listed for a while.
    package func members() -> [GossipMember] {
        let (now, wall) = (MonotonicTime.now(), WallTime.now())
        return core.members.map { GossipMember($0, local: configuration.name, now: now, wall: wall) }.sorted { $0.name < $1.name }
    }

    /// Members whose name another node claims, which answers as they do: two nodes of one name.
    package var contests: [SWIMCore.Contest] { core.contests(.now()) }

    /// Members that died, those that are not listed any more too, as far as they are remembered.
    package var lost: [String] { core.lost }

    /// Announces other tags; the pool has them within about a second.
    package func setMeta(_ tags: Tags) throws(MeshError) {
        let meta = tags.meta
        guard meta.count <= SWIMLimits.metaBytes else {
            throw MeshError(
                .configuration, code: "gossip_meta_size", "the gossip tags need \(meta.count) bytes, the bound is \(SWIMLimits.metaBytes)",
                remedy: "use fewer or shorter tags")
        }
        step(.setMeta(meta))
    }

    /// A connection to this member broke: looks at once whether it is still there. A name that is no member is passed over.
    package func check(_ name: String) {
        if isRunning { step(.check(name)) }
    }

    /// Takes effect with the next packet.
    package var keyring: Keyring {
        get { ring }
        set {
            ring = newValue
            step(.setCipher(AESGCM(newValue)))
        }
    }

    package var counters: GossipCounters {
        GossipCounters(
            core: core.counters, sendFailures: datagrams?.sendFailures ?? 0, datagramsLost: datagrams?.lost ?? 0, streamsRefused: server?.refused ?? 0,
            streamsTimedOut: server?.timedOut ?? 0)
    }

    /// 0 (well) … 7: how much this node distrusts its own observations (Lifeguard).
    package var awareness: Int { core.awareness }
    /// Messages that wait to be passed on.
    package var queuedBroadcasts: Int { core.queuedBroadcasts }

    // MARK: Stepping

    /// One event at a time: what an effect brings about waits until all effects of its step are done.
    private func step(_ event: SWIMEvent) {
        waiting.append(event)
        guard !isStepping else { return }
        isStepping = true
        defer { isStepping = false }
        while !waiting.isEmpty {
            let event = waiting.removeFirst()
            core.step(event, now: .now(), rng: &random, effects: &effects)
            let done = effects
            effects.removeAll(keepingCapacity: true)
            for effect in done { perform(effect) }
        }
    }

    private func perform(_ effect: SWIMEffect) {
        switch effect {
        case .send(let bytes, let address): datagrams?.send(bytes, to: address)
        case .dial(let id, let address, let request, let timeout):
            dialer?.dial(id, to: address, request: request, timeout: timeout)
        case .hangUp(let id): dialer?.hangUp(id)
        case .reply(let id, let bytes): server?.reply(id, bytes)
        case .close(let id): server?.close(id)
        case .setTimer(let timer, let time): set(timer, at: time)
        case .cancelTimer(let timer):
            if let id = timers.removeValue(forKey: timer) { ControlLoop.shared.cancel(id) }
        case .member(let event): tell(event)
        case .joinFinished(let id, let contacted, let failures):
            joins.removeValue(forKey: id)?.resume(returning: JoinResult(contacted: contacted, failures: failures))
        case .leaveFinished: stop()
        case .refused(let reason, let source): logRefusal(reason, source)
        case .log(let line): logger.log(level: line.level == .info ? .info : .warning, "\(line.text)")
        }
    }

    private func set(_ timer: SWIMTimer, at time: MonotonicTime) {
        guard isRunning else { return }
        if let id = timers[timer] { ControlLoop.shared.cancel(id) }
        timers[timer] = ControlLoop.shared.after(max(.zero, time - .now())) { [weak self] in
            guard let self else { return }
            timers[timer] = nil
            step(.timer(timer))
        }
    }

    private func tell(_ event: MemberEvent) {
        let member = GossipMember(event.member, local: configuration.name, now: .now(), wall: .now())
        let event = GossipEvent(kind: event.kind, member: member, by: event.by, cause: event.cause)
        logger.log(level: event.kind == .contested ? .warning : .info, "\(event.description)")
        log.add(event, at: .now())
        onEvent?(event)
        wakeReaders()
    }

    /// At most one line a second: anybody can send us rubbish.
    private func logRefusal(_ reason: Refusal, _ source: SocketAddress) {
        let now = MonotonicTime.now()
        if let last = lastRefusalLogged, now - last < .seconds(1) { return }
        lastRefusalLogged = now
        logger.warning("gossip from \(source) was refused: \(reason.explanation)")
    }
}
