import Platform

extension Message {
    /// The message with its type byte; keys in bytewise order, as memberlist writes them.
    package var encoded: [UInt8] {
        var writer = MessagePackWriter(capacity: 128)
        switch self {
        case .ping(let ping): ping.write(to: &writer)
        case .indirectPing(let ping): ping.write(to: &writer)
        case .ack(let ack): ack.write(to: &writer)
        case .nack(let sequence):
            writer.bytes.append(Wire.nack)
            writer.map(1)
            writer.key("SeqNo")
            writer.unsigned(UInt64(sequence))
        case .suspect(let accusation): accusation.write(Wire.suspect, to: &writer)
        case .dead(let accusation): accusation.write(Wire.dead, to: &writer)
        case .alive(let alive): alive.write(to: &writer)
        case .user(let bytes):
            writer.bytes.append(Wire.user)
            writer.bytes.append(contentsOf: bytes)
        }
        return writer.bytes
    }
}

extension StreamMessage {
    package var encoded: [UInt8] {
        var writer = MessagePackWriter()
        switch self {
        case .pushPull(let exchange): exchange.write(to: &writer)
        case .ping(let ping): ping.write(to: &writer)
        case .ack(let ack): ack.write(to: &writer)
        case .user(let bytes):
            writer.bytes.append(Wire.user)
            writer.map(1)
            writer.key("UserMsgLen")
            writer.unsigned(UInt64(bytes.count))
            writer.bytes.append(contentsOf: bytes)
        case .error(let text):
            writer.bytes.append(Wire.error)
            writer.map(1)
            writer.key("Error")
            writer.raw(text.utf8)
        }
        return writer.bytes
    }
}

extension Ping {
    fileprivate func write(to writer: inout MessagePackWriter) {
        writer.bytes.append(Wire.ping)
        writer.map(sender == nil ? 2 : 5)
        writer.key("Node")
        writer.raw(node.utf8)
        writer.key("SeqNo")
        writer.unsigned(UInt64(sequence))
        sender?.write(to: &writer)
    }
}

extension IndirectPing {
    fileprivate func write(to writer: inout MessagePackWriter) {
        writer.bytes.append(Wire.indirectPing)
        writer.map(sender == nil ? 5 : 8)
        writer.key("Nack")
        writer.bool(wantsNack)
        writer.key("Node")
        writer.raw(node.utf8)
        writer.key("Port")
        writer.unsigned(UInt64(port))
        writer.key("SeqNo")
        writer.unsigned(UInt64(sequence))
        sender?.write(to: &writer)
        writer.key("Target")
        writer.raw(target.bytes)
    }
}

extension Sender {
    fileprivate func write(to writer: inout MessagePackWriter) {
        writer.key("SourceAddr")
        writer.raw(address.ip.bytes)
        writer.key("SourceNode")
        writer.raw(name.utf8)
        writer.key("SourcePort")
        writer.unsigned(UInt64(address.port))
    }
}

extension Ack {
    fileprivate func write(to writer: inout MessagePackWriter) {
        writer.bytes.append(Wire.ack)
        writer.map(payload == nil ? 1 : 2)
        if let payload {
            writer.key("Payload")
            writer.rawOrNil(payload)
        }
        writer.key("SeqNo")
        writer.unsigned(UInt64(sequence))
    }
}

extension Accusation {
    fileprivate func write(_ type: UInt8, to writer: inout MessagePackWriter) {
        writer.bytes.append(type)
        writer.map(sawRefusal ? 4 : 3)
        writer.key("From")
        writer.raw(from.utf8)
        writer.key("Incarnation")
        writer.unsigned(UInt64(incarnation))
        writer.key("Node")
        writer.raw(node.utf8)
        if sawRefusal {
            writer.key("Refused")
            writer.bool(true)
        }
    }
}

extension Alive {
    fileprivate func write(to writer: inout MessagePackWriter) {
        writer.bytes.append(Wire.alive)
        writer.map(6)
        writer.key("Addr")
        writer.raw(address.ip.bytes)
        writer.key("Incarnation")
        writer.unsigned(UInt64(incarnation))
        writer.key("Meta")
        writer.rawOrNil(meta)
        writer.key("Node")
        writer.raw(node.utf8)
        writer.key("Port")
        writer.unsigned(UInt64(address.port))
        writer.key("Vsn")
        writer.rawOrNil(versions.wire)
    }
}

extension PushPull {
    fileprivate func write(to writer: inout MessagePackWriter) {
        writer.bytes.append(Wire.pushPull)
        writer.map(3)
        writer.key("Join")
        writer.bool(isJoin)
        writer.key("Nodes")
        writer.unsigned(UInt64(nodes.count))
        writer.key("UserStateLen")
        writer.unsigned(UInt64(userState.count))
        for node in nodes {
            writer.map(7)
            writer.key("Addr")
            writer.raw(node.address.ip.bytes)
            writer.key("Incarnation")
            writer.unsigned(UInt64(node.incarnation))
            writer.key("Meta")
            writer.rawOrNil(node.meta)
            writer.key("Name")
            writer.raw(node.name.utf8)
            writer.key("Port")
            writer.unsigned(UInt64(node.address.port))
            writer.key("State")
            writer.unsigned(UInt64(node.state.rawValue))
            writer.key("Vsn")
            writer.rawOrNil(node.versions.wire)
        }
        writer.bytes.append(contentsOf: userState)
    }
}
