/// The fields of one header block, in the order they came. A view into an event buffer: valid until its `removeAll`.
///
/// The peer wrote every byte; nghttp2 has checked the syntax (RFC 9113 section 8), nothing else.
public struct HTTP2Headers {
    /// Each field: two bytes of name length, two of value length (native order), name, value.
    @usableFromInline let bytes: UnsafeRawBufferPointer

    @usableFromInline init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    public var method: UnsafeRawBufferPointer? { self[":method"] }
    public var authority: UnsafeRawBufferPointer? { self[":authority"] }
    public var path: UnsafeRawBufferPointer? { self[":path"] }
    public var isConnect: Bool { method.map { Self.equal($0, "CONNECT") } ?? false }

    /// The status of a response, 100–999; zero for a request.
    public var status: UInt16 {
        guard let text = self[":status"], text.count == 3 else { return 0 }
        return text.reduce(0) { $0 &* 10 &+ UInt16($1 &- 48) }
    }

    /// The value of the first field of this name (lower case).
    public subscript(name: StaticString) -> UnsafeRawBufferPointer? {
        var position = 0
        while position < bytes.count {
            let field = self.field(at: &position)
            if Self.equal(field.name, name) { return field.value }
        }
        return nil
    }

    public func forEach(_ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void) {
        var position = 0
        while position < bytes.count {
            let field = self.field(at: &position)
            body(field.name, field.value)
        }
    }

    /// A field's value as text, for cold paths.
    public func string(_ name: StaticString) -> String? {
        self[name].map { String(decoding: $0, as: UTF8.self) }
    }

    private func field(at position: inout Int) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        let name = Int(bytes.loadUnaligned(fromByteOffset: position, as: UInt16.self))
        let value = Int(bytes.loadUnaligned(fromByteOffset: position + 2, as: UInt16.self))
        let start = position + Self.prefix
        position = start + name + value
        return (UnsafeRawBufferPointer(rebasing: bytes[start..<start + name]), UnsafeRawBufferPointer(rebasing: bytes[start + name..<position]))
    }

    static let prefix = 4

    private static func equal(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count where bytes[index] != text.utf8Start[index] { return false }
        return true
    }
}
