/// The layers around messages: label, encryption, checksum, compression, compound (memberlist-protocol §3 and §8).
package struct PacketCodec: Sendable {
    package var label: [UInt8]
    package var cipher: (any PacketCipher)?

    package init(label: [UInt8] = [], cipher: (any PacketCipher)? = nil) {
        self.label = label
        self.cipher = cipher
    }

    private var header: [UInt8] { label.isEmpty ? [] : [Wire.label, UInt8(label.count)] + label }

    // MARK: Datagrams

    /// What all layers add to a datagram, the checksum's five bytes included.
    package var overhead: Int { header.count + (cipher == nil ? 5 : Box.overhead) }

    /// One message as it is, several as a compound (at most 255).
    package static func compound(_ messages: [[UInt8]]) -> [UInt8] {
        if messages.count == 1 { return messages[0] }
        precondition(messages.count <= 255 && messages.allSatisfy { $0.count <= 0xffff }, "a compound holds 255 messages of 64 KiB")
        var bytes: [UInt8] = []
        bytes.reserveCapacity(messages.reduce(2) { $0 + $1.count + 2 })
        bytes.append(Wire.compound)
        bytes.append(UInt8(messages.count))
        for message in messages {
            bytes.append(UInt8(message.count >> 8))
            bytes.append(UInt8(message.count & 0xff))
        }
        for message in messages { bytes += message }
        return bytes
    }

    package static func checksummed(_ plaintext: [UInt8]) -> [UInt8] {
        let crc = Checksum.crc32(plaintext[...])
        return [Wire.checksum, UInt8(crc >> 24), UInt8(crc >> 16 & 0xff), UInt8(crc >> 8 & 0xff), UInt8(crc & 0xff)] + plaintext
    }

    /// A datagram ready to be sent; nil when the cipher failed.
    package func seal(_ plaintext: [UInt8]) -> [UInt8]? {
        guard let cipher else { return label.isEmpty ? plaintext : header + plaintext }
        guard let box = cipher.seal(plaintext, authenticating: label) else { return nil }
        return header + [1] + box
    }

    /// Every message that can be read; for each part that cannot, a reason. A bad part does not hide the others.
    package func open(_ datagram: [UInt8]) -> (messages: [Message], refusals: [Refusal]) {
        var opened = Opened()
        do throws(Refusal) {
            guard datagram.count <= SWIMLimits.datagram else { throw Refusal.oversized }
            let body = try stripLabel(datagram[...], required: true)
            if let cipher {
                guard let first = body.first else { throw Refusal.truncated }
                guard first <= 1 else { throw Refusal.plaintext }
                opened.take(try decrypt(body, authenticating: label, with: cipher), depth: 0, outermost: true)
            } else {
                opened.take(body, depth: 0, outermost: true)
            }
        } catch {
            opened.refusals.append(error)
        }
        return (opened.messages, opened.refusals)
    }

    // MARK: Streams

    /// One direction of a stream. Only the side that dialled sends the label; both authenticate it.
    package func seal(_ message: StreamMessage, dialled: Bool) -> [UInt8]? {
        let plaintext = message.encoded
        guard let cipher else { return dialled ? header + plaintext : plaintext }
        let length = UInt32(plaintext.count + Box.overhead)
        let frame = [Wire.encrypt, UInt8(length >> 24), UInt8(length >> 16 & 0xff), UInt8(length >> 8 & 0xff), UInt8(length & 0xff)]
        guard let box = cipher.seal(plaintext, authenticating: frame + label) else { return nil }
        return (dialled ? header : []) + frame + [1] + box
    }

    /// One whole direction of a stream, as `StreamFramer` found its end.
    /// - Parameter dialled: it comes from the side that dialled.
    package func openStream(_ bytes: [UInt8], dialled: Bool) throws(Refusal) -> StreamMessage {
        var body = dialled ? try stripLabel(bytes[...], required: true) : bytes[...]
        if let cipher {
            guard body.first == Wire.encrypt else { throw body.isEmpty ? .truncated : .plaintext }
            let start = body.startIndex
            guard body.count >= 5 else { throw .truncated }
            let length = body[(start + 1)..<(start + 5)].reduce(0) { $0 << 8 | Int($1) }
            guard length <= SWIMLimits.stream else { throw .oversized }
            guard body.count >= 5 + length else { throw .truncated }
            body = try decrypt(body[(start + 5)..<(start + 5 + length)], authenticating: Array(body[start..<(start + 5)]) + label, with: cipher)
        }
        var reader = MessagePackReader(body)
        var type = try reader.byte()
        for _ in 0..<SWIMLimits.nesting where type == Wire.compress {
            reader = MessagePackReader(try PacketCodec.decompress(&reader, atMost: SWIMLimits.streamDecompressed))
            type = try reader.byte()
        }
        guard type != Wire.compress else { throw .tooDeep }
        return try StreamMessage(type: type, &reader)
    }

    // MARK: Private

    private func stripLabel(_ bytes: ArraySlice<UInt8>, required: Bool) throws(Refusal) -> ArraySlice<UInt8> {
        guard bytes.first == Wire.label else {
            if !label.isEmpty { throw .wrongLabel }
            return bytes
        }
        guard bytes.count >= 2 else { throw .truncated }
        let length = Int(bytes[bytes.startIndex + 1])
        guard bytes.count >= 2 + length else { throw .truncated }
        guard !label.isEmpty, bytes[(bytes.startIndex + 2)..<(bytes.startIndex + 2 + length)].elementsEqual(label) else { throw .wrongLabel }
        return bytes[(bytes.startIndex + 2 + length)...]
    }

    /// Version 1 is the plaintext as it is; version 0 pads it to sixteen bytes (PKCS #7).
    private func decrypt(_ body: ArraySlice<UInt8>, authenticating data: [UInt8], with cipher: any PacketCipher) throws(Refusal) -> ArraySlice<UInt8>
    {
        guard body.count >= Box.overhead, let version = body.first, version <= 1 else { throw .undecryptable }
        guard let plaintext = cipher.open(body.dropFirst(), authenticating: data) else { throw .undecryptable }
        if version == 1 { return plaintext[...] }
        guard let padding = plaintext.last, 1...16 ~= padding, plaintext.count >= Int(padding),
            plaintext.suffix(Int(padding)).allSatisfy({ $0 == padding })
        else { throw .malformed }
        return plaintext.dropLast(Int(padding))
    }

    static func decompress(_ reader: inout MessagePackReader, atMost bound: Int) throws(Refusal) -> [UInt8] {
        var algorithm: UInt8 = 0
        var buffer = reader.position..<reader.position
        for _ in 0..<(try reader.mapCount()) {
            switch String(decoding: reader.bytes[try reader.raw()], as: UTF8.self) {
            case "Algo": algorithm = try reader.integer()
            case "Buf": buffer = try reader.raw()
            default: try reader.skip()
            }
        }
        guard algorithm == 0 else { throw .badCompression }
        return try LZW.decode(reader.bytes[buffer], atMost: bound)
    }
}

/// The messages of one datagram while its layers are taken off.
private struct Opened {
    var messages: [Message] = []
    var refusals: [Refusal] = []
    private var parts = 0
    private var expanded = 0

    mutating func take(_ body: ArraySlice<UInt8>, depth: Int, outermost: Bool) {
        do throws(Refusal) {
            try open(body, depth, outermost)
        } catch {
            refusals.append(error)
        }
    }

    private mutating func open(_ body: ArraySlice<UInt8>, _ depth: Int, _ outermost: Bool) throws(Refusal) {
        parts += 1
        guard parts <= SWIMLimits.parts else { throw .oversized }
        guard depth <= SWIMLimits.nesting else { throw .tooDeep }
        var reader = MessagePackReader(body)
        let type = try reader.byte()
        switch type {
        case Wire.checksum:
            guard outermost else { throw .misplaced }
            let expected = try reader.number(4)
            let inner = reader.bytes[reader.position..<reader.end]
            guard UInt64(Checksum.crc32(inner)) == expected else { throw .badChecksum }
            try open(inner, depth + 1, false)
        case Wire.compress:
            let inner = try PacketCodec.decompress(&reader, atMost: min(SWIMLimits.datagram, SWIMLimits.datagramExpanded - expanded))
            expanded += inner.count
            try open(inner[...], depth + 1, false)
        case Wire.compound:
            try openCompound(&reader, depth)
        default:
            messages.append(try Message(type: type, &reader))
        }
    }

    /// When the bodies run out, the rest is truncated and what came before counts, as in memberlist.
    private mutating func openCompound(_ reader: inout MessagePackReader, _ depth: Int) throws(Refusal) {
        let count = Int(try reader.byte())
        var lengths: [Int] = []
        lengths.reserveCapacity(count)
        messages.reserveCapacity(messages.count + min(count, SWIMLimits.parts))
        for _ in 0..<count { lengths.append(Int(try reader.number(2))) }
        for length in lengths {
            let range = try reader.take(length)
            take(reader.bytes[range], depth: depth + 1, outermost: false)
            if parts > SWIMLimits.parts { return }
        }
    }
}
