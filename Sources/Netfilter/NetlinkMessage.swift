import CNetfilter
import Glibc
import Platform

/// One message received from netlink; valid as long as the buffer it lies in.
struct NetlinkMessage {
    let header: UnsafePointer<nlmsghdr>

    var type: UInt16 { header.pointee.nlmsg_type }
    var sequence: UInt32 { header.pointee.nlmsg_seq }
    var port: UInt32 { header.pointee.nlmsg_pid }
    var flags: UInt16 { header.pointee.nlmsg_flags }
    var payload: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: UnsafeRawPointer(header) + 16, count: Int(header.pointee.nlmsg_len) - 16) }

    /// The attributes after a fixed part of `offset` bytes.
    @inline(__always)
    func attributes(after offset: Int) -> NetlinkAttributes {
        let bytes = payload
        let start = (offset + 3) & ~3
        return NetlinkAttributes(
            start < bytes.count ? UnsafeRawBufferPointer(rebasing: bytes[start...]) : UnsafeRawBufferPointer(start: nil, count: 0))
    }

    /// For NLMSG_ERROR: 0 is an acknowledgement.
    var errorCode: CInt { payload.count >= 4 ? -payload.loadUnaligned(as: CInt.self) : EBADMSG }
    /// For NLMSG_ERROR with NLM_F_ACK_TLVS: text and the place in the request (linux/netlink.h, `enum nlmsgerr_attrs`).
    var extendedError: (text: String?, offset: Int?) {
        // The capped copy of the request's header comes first.
        guard flags & 0x200 != 0, payload.count >= 20 else { return (nil, nil) }
        let capped = flags & 0x100 != 0
        let skip = capped ? 20 : 4 + Int(payload.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        var text: String?
        var offset: Int?
        for attribute in attributes(after: skip) {
            if attribute.type == 1 { text = attribute.string }
            if attribute.type == 2 { offset = Int(attribute.number(UInt32.self)) }
        }
        return (text, offset)
    }

    /// Calls `body` for each message of a datagram until it returns false.
    @inline(__always)
    static func forEach(in datagram: UnsafeRawBufferPointer, _ body: (NetlinkMessage) -> Bool) {
        guard var pointer = datagram.baseAddress else { return }
        var left = datagram.count
        while left >= 16 {
            let header = pointer.assumingMemoryBound(to: nlmsghdr.self)
            let length = Int(header.pointee.nlmsg_len)
            guard length >= 16, length <= left else { return }
            if !body(NetlinkMessage(header: header)) { return }
            let aligned = min(left, (length + 3) & ~3)
            pointer += aligned
            left -= aligned
        }
    }
}

/// One attribute: type, length, value (linux/netlink.h).
struct NetlinkAttribute {
    /// Without the flags for nesting and byte order.
    let type: UInt16
    let value: UnsafeRawBufferPointer

    var nested: NetlinkAttributes { NetlinkAttributes(value) }
    /// In the byte order in which it is; 0 when too short.
    func number<T: FixedWidthInteger>(_ type: T.Type) -> T {
        value.count >= MemoryLayout<T>.size ? value.loadUnaligned(as: T.self) : 0
    }
    /// Up to the first zero byte.
    var string: String { String(decoding: value.prefix { $0 != 0 }, as: UTF8.self) }
    var bytes: [UInt8] { Array(value) }
    /// Four or sixteen bytes in network order; allocates nothing.
    var address: IPAddress? {
        switch value.count {
        case 4: IPAddress(v4: UInt32(bigEndian: value.loadUnaligned(as: UInt32.self)))
        case 16:
            IPAddress(
                high: UInt64(bigEndian: value.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: value.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        default: nil
        }
    }
}

/// Attributes one after another; stops at the first that does not fit.
struct NetlinkAttributes: Sequence, IteratorProtocol {
    private var rest: UnsafeRawBufferPointer

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    @inline(__always)
    mutating func next() -> NetlinkAttribute? {
        guard rest.count >= 4 else { return nil }
        let length = Int(rest.loadUnaligned(as: UInt16.self))
        guard length >= 4, length <= rest.count else { return nil }
        let attribute = NetlinkAttribute(
            type: rest.loadUnaligned(fromByteOffset: 2, as: UInt16.self) & 0x3fff, value: UnsafeRawBufferPointer(rebasing: rest[4..<length]))
        rest = UnsafeRawBufferPointer(rebasing: rest[Swift.min(rest.count, (length + 3) & ~3)...])
        return attribute
    }
}
