import Identity
import Logging
import MeshModel
import Plane
import Platform
import Reactor

/// The resources of this node: the shell of `ResourceCore`.
///
/// Overview: keeps the mesh's resources on disk and the same as on other nodes, and says when what they say is something else.
/// Function: `start` reads the disk; `rider` is what the catalog's streams call and `send` how this writes to them; `apply` and `delete` write.
/// Implementation: timers, frames and calls become inputs of the core; its effects become frames, files and callbacks. All on the control loop; only
/// files are written elsewhere.
@Control
package final class MeshResources {
    /// Called when what is in force is something else.
    package var onChange: (@Control () -> Void)?
    /// Writes a frame to a node that a stream leads to; nothing happens when there is none.
    package var send: (@Control (Frame, _ node: String) -> Void)?
    /// Ends the stream to a node.
    package var disconnect: (@Control (_ node: String, _ reason: String) -> Void)?

    let logger: Logger
    let store: ResourceStore
    private let keys: RecordKeys
    private(set) var core: ResourceCore
    private(set) var book = ResourceBook()
    private var timers: [TimerID] = []
    private var exchangeTimer: TimerID?
    private var saving: Task<MeshError?, Never>?
    private(set) var isStarted = false

    /// How often a node compares with one other, on average.
    private static let exchange = Duration.seconds(5)
    /// How many nodes hear of news from each node that took it up.
    private static let fanOut = 3

    package init(node: String, directory: String, logger: Logger, clock: @escaping @Sendable () -> WallTime = { .now() }) {
        self.logger = logger
        store = ResourceStore(directory: directory)
        keys = RecordKeys(clock: clock)
        core = ResourceCore(node: node, limits: ResourceLimits(), authority: keys.resourceAuthority)
    }

    /// Where they are within the agent's state directory.
    package nonisolated static func directory(state: String) -> String { "\(state)/resources" }

    // MARK: Life

    /// Reads the files: what was in force when the node stopped is in force again.
    package func start(_ credentials: CredentialSet) async throws(MeshError) {
        precondition(!isStarted, "resources start once")
        keys.use(credentials)
        let opened = try await store.open()
        for warning in opened.warnings { logger.warning("\(warning)") }
        core.restore(opened.stored.map(\.write), lastAgreed: opened.agreed, .now())
        for stored in opened.stored where core.write(of: stored.write.key) == stored.write {
            if let good = stored.good { _ = book.update(good.key, good) }
            _ = book.update(stored.write.key, stored.write)
        }
        isStarted = true
        perform()
        timers = [
            ControlLoop.shared.every(.seconds(1)) { [weak self] in
                self?.core.tick(.now())
                self?.perform()
            }
        ]
        scheduleExchange()
        onChange?()
    }

    /// Takes what is on disk away, after the node left its mesh.
    @concurrent
    package nonisolated static func forget(directory: String) async throws(MeshError) { try ResourceStore.wipe(directory) }

    /// New certificates, and with them perhaps other rights.
    package func use(_ credentials: CredentialSet) { keys.use(credentials) }

    package func stop() async {
        guard isStarted else { return }
        isStarted = false
        for timer in timers + [exchangeTimer].compactMap({ $0 }) { ControlLoop.shared.cancel(timer) }
        timers = []
        _ = await saving?.value
    }

    private func scheduleExchange() {
        let wait = Duration.nanoseconds(Int64(Double(Self.exchange.nanoseconds) * Double.random(in: 0.8..<1.2)))
        exchangeTimer = ControlLoop.shared.after(wait) { [weak self] in
            guard let self else { return }
            core.exchange(random: .random(in: 0...(.max)))
            perform()
            scheduleExchange()
        }
    }

    // MARK: Streams

    /// What the streams between nodes call.
    package var rider: PlaneRider {
        PlaneRider(
            frames: ResourceWire.frames,
            connected: { [weak self] peer in self?.input { $0.connected(peer, .now()) } },
            disconnected: { [weak self] peer in self?.input { $0.disconnected(peer) } },
            received: { [weak self] frame, peer in self?.received(frame, peer) },
            answers: [
                .resourceRollout: { [weak self] frame, _ throws(MeshError) in
                    guard let self else { throw MeshError(.peer, code: "resources_stopped", "this node is stopping", retryable: true) }
                    try requireStarted()
                    return try answer(frame)
                }
            ])
    }

    private func received(_ frame: Frame, _ peer: String) {
        do throws(ResourceRefusal) {
            let message = try ResourceWire.decode(frame)
            input { $0.received(message, from: peer, .now()) }
        } catch {
            input { $0.receivedMalformed(error, from: peer, .now()) }
        }
    }

    private func input(_ body: (inout ResourceCore) -> Void) {
        guard isStarted else { return }
        body(&core)
        perform()
    }

    /// - Throws: before the disk was read and after `stop`: what is missing then says nothing.
    package func requireStarted() throws(MeshError) {
        guard isStarted else {
            throw MeshError(
                .internal, code: "resources_stopped", "this node is starting or stopping, and does not know its resources",
                remedy: "try again in a moment", retryable: true)
        }
    }

    // MARK: Writing

    /// Runs a local input, and returns when what it changed is on disk.
    func change<T>(_ body: (inout ResourceCore) throws(ResourceRefusal) -> T) async throws(MeshError) -> T {
        try requireStarted()
        let result: T
        do throws(ResourceRefusal) { result = try body(&core) } catch { throw Self.explained(error) }
        perform()
        if let failure = await saving?.value { throw failure }
        return result
    }

    static func explained(_ refusal: ResourceRefusal) -> MeshError {
        let remedy =
            switch refusal {
            case .noRight(let author, let namespace):
                "run the command on an administrator's node, or on the authority's: `weft node grant \(author) "
                    + "\(namespace.isEmpty ? "admin" : "namespace-admin:\(namespace)")`, and `weft certs --renew` here"
            case .conflict: "look at it again with `weft get`, and apply your change to that"
            case .tooMany, .tooManyBytes: "delete what is not needed"
            case .tooLarge: "split it"
            case .cannotSign: "see `weft certs`"
            case .clockAhead, .badSignature, .tooOld, .tooFast, .malformed: ""
            }
        return MeshError(.policy, code: "resource_\(refusal.code)", refusal.description, remedy: remedy)
    }

    // MARK: Effects

    private func perform() {
        var isOther = false
        var saves: [ResourceStore.Change] = []
        while !core.effects.isEmpty {
            let effects = core.effects
            core.effects = []
            for effect in effects {
                switch effect {
                case .send(let message, let peer): send?(ResourceWire.encode(message), peer)
                case .broadcast(let message): write(message, to: core.connectedPeers)
                case .spread(let message, let except):
                    write(message, to: core.connectedPeers.filter { $0 != except }.shuffled().prefix(Self.fanOut))
                case .changed(let key):
                    let write = core.write(of: key)
                    if book.update(key, write) { isOther = true }
                    saves.append(write.map { .save(.init(write: $0, good: book.inForce(insteadOf: $0.version, key))) } ?? .remove(key))
                    if let problem = book.problem(key), let write {
                        logger.warning("\(key) of version \(write.version) is not applied, what was in force stays: \(problem)")
                    }
                case .agreed: if let agreed = core.lastAgreed { saves.append(.agreed(agreed)) }
                case .disconnect(let peer): disconnect?(peer, "it passed on resources that had to be refused")
                case .event(let event): tell(event)
                }
            }
        }
        if !saves.isEmpty { save(saves) }
        if isOther { onChange?() }
    }

    private func write(_ message: ResourceMessage, to peers: some Sequence<String>) {
        let frame = ResourceWire.encode(message)
        for peer in peers { send?(frame, peer) }
    }

    private func tell(_ event: ResourceEvent) {
        let text = event.description.printable
        switch event {
        case .written: logger.notice("\(text)")
        case .refused, .unreadable, .concurrent, .dropped, .apart, .away: logger.warning("\(text)")
        }
    }

    /// One after the other, in the order of the changes.
    private func save(_ changes: [ResourceStore.Change]) {
        let (store, previous, logger) = (self.store, saving, self.logger)
        saving = Task {
            _ = await previous?.value
            do throws(MeshError) {
                for change in changes { try await store.write(change) }
                return nil
            } catch {
                logger.error("resources are not on disk: \(error)")
                return error
            }
        }
    }
}
