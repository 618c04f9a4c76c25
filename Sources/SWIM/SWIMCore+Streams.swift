import Platform

/// What a stream that we open is for.
enum DialPurpose: Hashable, Sendable {
    case join(JoinID, SocketAddress)
    case exchange(SocketAddress)
    case ping(UInt32)
}

// Push/pull and the pings over TCP (§8).
extension SWIMCore {
    // MARK: Opening

    @discardableResult
    mutating func dial(_ purpose: DialPurpose, _ address: SocketAddress, _ request: StreamMessage, _ timeout: Duration, _ turn: inout Turn) -> DialID?
    {
        guard dials.count < SWIMLimits.dials, let bytes = codec.seal(request, dialled: true) else { return nil }
        let id = DialID(number: nextDial)
        nextDial += 1
        dials[id] = purpose
        turn.effects.append(.dial(id, to: address, request: bytes, timeout: timeout))
        return id
    }

    mutating func hangUp(_ id: DialID, _ turn: inout Turn) {
        if dials.removeValue(forKey: id) != nil { turn.effects.append(.hangUp(id)) }
    }

    /// At each interval: with one member at random. The interval grows with the pool, or state would be all that travels.
    mutating func exchangeWithAnyone(_ turn: inout Turn) {
        let interval = timers.pushPullInterval * pushPullScale
        if catchUps > 0 { catchUps -= 1 }
        turn.set(.pushPull, at: catchUps > 0 ? nextCatchUp(&turn) : turn.now + interval)
        let own = ownSlot
        let known = seed
        seed = nil
        guard leaving == nil, let address = known ?? roster.pick(1, &turn.random, where: { slot, known in known.state == .alive && slot != own }).first?.address
        else { return }
        dial(.exchange(address), address, .pushPull(ownState(isJoin: false)), timers.streamTimeout, &turn)
    }

    /// The most extra exchanges after a join. Those that bring nothing new cost three.
    static let mostCatchUps = 8
    func nextCatchUp(_ turn: inout Turn) -> MonotonicTime {
        turn.now + timers.gossipInterval + turn.random.duration(below: timers.gossipInterval * 2)
    }

    private var pushPullScale: Int { roster.count <= 32 ? 1 : binaryDigitsUp(roster.count) - 5 + 1 }

    /// Everything we hold; ourselves first.
    func ownState(isJoin: Bool) -> PushPull {
        let own = ownSlot
        var nodes: [NodeState] = []
        nodes.reserveCapacity(roster.count)
        if let own { nodes.append(roster.state(own)) }
        roster.forEach { slot, _ in if slot != own { nodes.append(roster.state(slot)) } }
        return PushPull(isJoin: isJoin, nodes: nodes, userState: isSerf ? serf.state(own: name, members: serf.knowsIntents ? roster.all : []) : [])
    }

    // MARK: Being called

    mutating func receiveRequest(_ id: InboundID, _ bytes: [UInt8], from source: SocketAddress, _ turn: inout Turn) {
        let message: StreamMessage
        do throws(Refusal) {
            message = try codec.openStream(bytes, dialled: true)
        } catch {
            refuse(error, from: source, &turn)
            return turn.effects.append(.close(id))
        }
        switch message {
        case .ping(let ping):
            guard ping.node.isEmpty || ping.node == name else {
                refuse(.notForUs, from: source, &turn)
                return turn.effects.append(.close(id))
            }
            reply(id, .ack(Ack(sequence: ping.sequence, payload: nil)), &turn)
        case .pushPull(let exchange):
            if let problem = incompatibility(exchange.nodes) {
                // memberlist answers and then throws the state away in silence; the other side should know.
                refuse(.incompatible, from: source, &turn)
                turn.log(.warning, "the state of \(source) was refused: \(problem)")
                return reply(id, .error(problem), &turn)
            }
            reply(id, .pushPull(ownState(isJoin: exchange.isJoin)), &turn)
            merge(exchange, from: gossipAddress(of: source, in: exchange), &turn)
        case .user(let bytes):
            receiveUser(bytes, from: source, &turn)
            turn.effects.append(.close(id))
        case .ack, .error:
            refuse(.misplaced, from: source, &turn)
            turn.effects.append(.close(id))
        }
    }

    /// A stream comes from any port: the peer's own is in its state, if just one member lives at that address.
    private func gossipAddress(of source: SocketAddress, in exchange: PushPull) -> SocketAddress {
        let there = exchange.nodes.filter { $0.address.ip == source.ip && $0.state == .alive }
        return there.count == 1 ? there[0].address : configuration.address
    }

    private func reply(_ id: InboundID, _ message: StreamMessage, _ turn: inout Turn) {
        guard let bytes = codec.seal(message, dialled: false) else { return turn.effects.append(.close(id)) }
        turn.effects.append(.reply(id, bytes))
    }

    // MARK: Answers

    mutating func receiveAnswer(_ id: DialID, _ bytes: [UInt8], _ turn: inout Turn) {
        guard let purpose = dials.removeValue(forKey: id) else { return }
        let message: StreamMessage
        do throws(Refusal) {
            message = try codec.openStream(bytes, dialled: false)
        } catch {
            counters.count(error)
            return ended(purpose, .invalid(error), &turn)
        }
        switch (purpose, message) {
        case (.ping(let sequence), .ack(let ack)) where ack.sequence == sequence:
            probes[sequence]?.hasStreamAnswered = true
        case (.join(_, let address), .pushPull(let exchange)), (.exchange(let address), .pushPull(let exchange)):
            if let problem = incompatibility(exchange.nodes) {
                counters.count(.incompatible)
                return ended(purpose, .rejected(problem), &turn)
            }
            let before = learned
            merge(exchange, from: address, &turn)
            if case .exchange = purpose, learned == before { catchUps = max(0, catchUps - 3) }
            ended(purpose, nil, &turn)
        case (_, .error(let text)): ended(purpose, .rejected(text), &turn)
        default:
            counters.count(.misplaced)
            ended(purpose, .invalid(.misplaced), &turn)
        }
    }

    mutating func dialFailed(_ id: DialID, _ failure: DialFailure, _ turn: inout Turn) {
        guard let purpose = dials.removeValue(forKey: id) else { return }
        if case .invalid(let reason) = failure { counters.count(reason) }
        ended(purpose, failure, &turn)
    }

    private mutating func ended(_ purpose: DialPurpose, _ failure: DialFailure?, _ turn: inout Turn) {
        switch purpose {
        case .ping(let sequence): if failure == .refused { streamRefused(sequence, &turn) }
        case .exchange:
            if failure == nil { counters.pushPulls &+= 1 } else { counters.pushPullsFailed &+= 1 }
        case .join(let id, let address):
            if failure == nil { counters.pushPulls &+= 1 } else { counters.pushPullsFailed &+= 1 }
            joinEnded(id, address, failure, &turn)
        }
    }

    // MARK: Merging

    /// §9: every live node on both sides must speak a version that all the others understand. The sentence says who does not.
    func incompatibility(_ remote: [NodeState]) -> String? {
        var common = CommonVersions()
        for node in remote where node.state == .alive { common.narrow(to: node.versions) }
        roster.forEach { _, known in if known.state == .alive { common.narrow(to: known.versions) } }
        for node in remote where node.state == .alive {
            if let problem = common.problem(of: node.name, node.versions) { return problem }
        }
        var problem: String?
        roster.forEach { slot, known in
            if problem == nil, known.state == .alive, common.excludes(known.versions) { problem = common.problem(of: roster[slot].member.name, known.versions) }
        }
        return problem
    }

    /// Dead is only a hint when another says so: we suspect, and the node itself may refute.
    mutating func merge(_ exchange: PushPull, from source: SocketAddress, _ turn: inout Turn) {
        for node in exchange.nodes {
            switch node.state {
            case .alive:
                alive(
                    Alive(incarnation: node.incarnation, node: node.name, address: node.address, meta: node.meta, versions: node.versions), .exchange,
                    from: source, &turn)
            case .left:
                dead(Accusation(incarnation: node.incarnation, node: node.name, from: node.name), .exchange, from: source, &turn)
            case .suspect, .dead:
                suspect(Accusation(incarnation: node.incarnation, node: node.name, from: name), .exchange, from: source, &turn)
            }
        }
        guard isSerf, !exchange.userState.isEmpty else { return }
        do throws(Refusal) {
            if try serf.merge(exchange.userState, own: name), !isLeaving { contradictLeave(&turn) }
        } catch {
            refuse(error, from: source, &turn)
        }
    }
}
