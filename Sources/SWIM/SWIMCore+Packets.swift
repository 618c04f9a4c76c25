import Platform

// Datagrams in and out.
extension SWIMCore {
    mutating func receive(_ bytes: [UInt8], from source: SocketAddress, _ turn: inout Turn) {
        counters.datagramsIn &+= 1
        counters.bytesIn &+= UInt64(bytes.count)
        let (messages, refusals) = codec.open(bytes)
        for reason in refusals { refuse(reason, from: source, &turn) }
        for message in messages { receive(message, from: source, &turn) }
    }

    private mutating func receive(_ message: Message, from source: SocketAddress, _ turn: inout Turn) {
        switch message {
        case .ping(let ping): answer(ping, from: source, &turn)
        case .indirectPing(let ping): relay(ping, from: source, &turn)
        case .ack(let ack): acknowledged(ack.sequence, &turn)
        case .nack(let sequence): nacked(sequence)
        case .suspect(let accusation): suspect(accusation, .gossip, from: source, &turn)
        case .alive(let alive): self.alive(alive, .gossip, from: source, &turn)
        case .dead(let accusation): dead(accusation, .gossip, from: source, &turn)
        case .user(let bytes): receiveUser(bytes, from: source, &turn)
        }
    }

    /// A ping for another name was meant for who had this address before us.
    private mutating func answer(_ ping: Ping, from source: SocketAddress, _ turn: inout Turn) {
        guard ping.node.isEmpty || ping.node == name else { return refuse(.notForUs, from: source, &turn) }
        let address = replyAddress(ping.sender, source)
        // News is for members: a stranger's source address may be somebody else's, who would get forty bytes for each of the stranger's.
        let isMember = ping.sender.flatMap { roster[$0.name]?.member.address } == address
        transmit(.ack(Ack(sequence: ping.sequence, payload: nil)), withNews: isMember, to: address, &turn)
    }

    /// Where a message says its answer should go, if that is where it came from or a member; else where it came from:
    /// otherwise anyone could point us at anyone.
    func replyAddress(_ sender: Sender?, _ source: SocketAddress) -> SocketAddress {
        guard let sender, sender.address != source else { return source }
        if sender.address.ip == source.ip || roster[sender.name]?.member.address == sender.address { return sender.address }
        return source
    }

    /// Sends a message with as much news as fits; `also` goes before the news.
    mutating func transmit(_ message: Message, also: Message? = nil, withNews: Bool = true, to address: SocketAddress, _ turn: inout Turn) {
        var parts = [message.encoded]
        if let also { parts.append(also.encoded) }
        if withNews { addNews(to: &parts) }
        send(parts, to: address, checksummed: false, &turn)
    }

    /// One packet of news for a member; false when there is none.
    mutating func transmitNews(to member: Member, _ turn: inout Turn) -> Bool {
        var parts: [[UInt8]] = []
        addNews(to: &parts)
        guard !parts.isEmpty else { return false }
        // Encryption authenticates already.
        send(parts, to: member.address, checksummed: codec.cipher == nil && member.versions.readsChecksums, &turn)
        return true
    }

    private mutating func addNews(to parts: inout [[UInt8]]) {
        guard !broadcasts.isEmpty || !userBroadcasts.isEmpty else { return }
        // A compound costs two bytes, and each of its messages two more.
        var room = SWIMLimits.datagramBudget - codec.overhead - 2 - parts.reduce(0) { $0 + $1.count + 2 }
        let limit = transmitLimit
        let news = broadcasts.take(room: room, perItem: 2, atMost: 255 - parts.count, limit: limit)
        parts += news
        room -= news.reduce(0) { $0 + $1.count + 2 }
        parts += userBroadcasts.take(room: room, perItem: 2, atMost: 255 - parts.count, limit: limit)
    }

    private mutating func send(_ parts: [[UInt8]], to address: SocketAddress, checksummed: Bool, _ turn: inout Turn) {
        let plaintext = PacketCodec.compound(parts)
        guard let bytes = codec.seal(checksummed ? PacketCodec.checksummed(plaintext) : plaintext) else {
            return turn.log(.warning, "a gossip packet could not be encrypted and was not sent")
        }
        counters.datagramsOut &+= 1
        counters.bytesOut &+= UInt64(bytes.count)
        turn.effects.append(.send(bytes, to: address))
    }

    // MARK: News

    /// How often each item is sent (memberlist-protocol §12.1).
    var transmitLimit: Int { max(1, timers.retransmitMultiplier * decimalDigitsUp(roster.count)) }

    /// Queues news about the member in a slot, in place of older news about it.
    /// - Parameter isSpread: many have it already.
    mutating func broadcast(_ message: Message, about slot: Int, isSpread: Bool = false, _ turn: inout Turn) {
        var incarnation: UInt32?
        if case .alive(let alive) = message { incarnation = alive.incarnation }
        broadcasts.enqueue(message.encoded, about: slot, incarnation: incarnation, most: isSpread ? 2 * timers.gossipNodes : .max)
        armGossip(&turn)
    }

    /// - Parameter isOwnIntent: it takes the place of our last one.
    mutating func broadcastUser(_ bytes: [UInt8], isOwnIntent: Bool = false, _ turn: inout Turn) {
        let before = userBroadcasts.dropped
        userBroadcasts.enqueue([Wire.user] + bytes, about: isOwnIntent ? 0 : nil)
        counters.userMessagesDropped &+= userBroadcasts.dropped &- before
        armGossip(&turn)
    }

    private mutating func armGossip(_ turn: inout Turn) {
        guard !isGossipArmed else { return }
        isGossipArmed = true
        turn.set(.gossip, at: turn.now + turn.random.duration(below: timers.gossipInterval))
    }

    /// One packet each to some members, the freshly dead included: they may only have been cut off.
    mutating func gossip(_ turn: inout Turn) {
        isGossipArmed = false
        let (own, now, patience) = (ownSlot, turn.now, timers.gossipToTheDead)
        let targets = roster.pick(timers.gossipNodes, &turn.random) { slot, known in
            slot != own && (known.state.isLive || known.state == .dead && now - known.since < patience)
        }
        guard !targets.isEmpty else {
            // Nobody to tell: the next join exchanges everything anyway.
            if roster.count == 1 { return }
            return rearmGossip(&turn)
        }
        for target in targets where !transmitNews(to: target, &turn) { return }
        rearmGossip(&turn)
    }

    private mutating func rearmGossip(_ turn: inout Turn) {
        guard !broadcasts.isEmpty || !userBroadcasts.isEmpty else { return }
        isGossipArmed = true
        turn.set(.gossip, at: turn.now + timers.gossipInterval)
    }

    // MARK: User messages

    mutating func receiveUser(_ bytes: [UInt8], from source: SocketAddress, _ turn: inout Turn) {
        guard isSerf else { return refuse(.unsupported, from: source, &turn) }
        counters.userMessages &+= 1
        do throws(Refusal) {
            switch try serf.receive(bytes, own: name, isLeaving: isLeaving) {
            case .ignore: break
            case .passOn: broadcastUser(bytes, &turn)
            case .contradict: contradictLeave(&turn)
            }
        } catch {
            refuse(error, from: source, &turn)
        }
    }

    /// Somebody told the pool that we leave, and we do not: a join intent with a later time says so.
    mutating func contradictLeave(_ turn: inout Turn) {
        counters.refutations &+= 1
        broadcastUser(serf.intent(leave: false, own: name), isOwnIntent: true, &turn)
    }
}
