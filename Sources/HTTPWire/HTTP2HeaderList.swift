import CNGHTTP2

/// Fields to send. Keep one for each worker and `removeAll` it between uses: it allocates only while it grows.
public struct HTTP2HeaderList: ~Copyable {
    private struct Field {
        var nameLength: Int
        var valueLength: Int
    }
    private var fields: [Field] = []
    /// Name, value, name, value …
    private var bytes: [UInt8] = []

    public init() {}

    public var count: Int { fields.count }

    public mutating func removeAll() {
        fields.removeAll(keepingCapacity: true)
        bytes.removeAll(keepingCapacity: true)
    }

    /// - Parameter name: lower case; pseudo-headers before the others.
    public mutating func add(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        bytes.append(contentsOf: value)
        fields.append(Field(nameLength: name.utf8CodeUnitCount, valueLength: value.count))
    }

    public mutating func add(_ name: StaticString, _ value: String) {
        var value = value
        value.withUTF8 { add(name, UnsafeRawBufferPointer($0)) }
    }

    /// Calls `body` with nghttp2's form of the list; it copies what it keeps.
    borrowing func withFields<R>(_ body: (UnsafePointer<nghttp2_nv>?, Int) -> R) -> R {
        withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: max(1, fields.count)) { output in
            bytes.withUnsafeBufferPointer { source in
                var position = UnsafeMutablePointer(mutating: source.baseAddress)
                for (index, field) in fields.enumerated() {
                    let value = position.map { $0 + field.nameLength }
                    output.initializeElement(
                        at: index,
                        to: nghttp2_nv(
                            name: position, value: value, namelen: field.nameLength, valuelen: field.valueLength,
                            flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)))
                    position = value.map { $0 + field.valueLength }
                }
                return body(output.baseAddress, fields.count)
            }
        }
    }
}
