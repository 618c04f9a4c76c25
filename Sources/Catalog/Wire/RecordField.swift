/// A record in a delta: `[kind, key, version, content]`, content being JSON as text.
///
/// `[kind, key, version, null, digest]` is one whose content the sender keeps back; later versions may add to both. `[kind, key, version]` is a record that
/// was deleted. A list, because deltas are nearly all of what a node that starts reads, and an object of seven keys takes longer to read.
struct RecordField: Codable {
    enum State: Equatable {
        case content(String)
        /// Base64 of 32 bytes.
        case keptBack(digest: String)
        case deleted
    }

    var key: RecordKey
    var version: UInt64
    var state: State

    init(key: RecordKey, version: UInt64, state: State) {
        self.key = key
        self.version = version
        self.state = state
    }

    init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        key = RecordKey(kind: try list.decode(String.self), name: try list.decode(String.self))
        version = try list.decode(UInt64.self)
        if list.isAtEnd {
            state = .deleted
        } else if try list.decodeNil() {
            state = .keptBack(digest: try list.decode(String.self))
        } else {
            state = .content(try list.decode(String.self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var list = encoder.unkeyedContainer()
        try list.encode(key.kind)
        try list.encode(key.name)
        try list.encode(version)
        switch state {
        case .content(let text): try list.encode(text)
        case .keptBack(let digest):
            try list.encodeNil()
            try list.encode(digest)
        case .deleted: break
        }
    }
}
