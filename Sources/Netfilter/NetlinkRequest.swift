import CNetfilter
import Glibc

/// A request under construction in one buffer that is reused; written by libmnl. A request that would not fit traps: all have known bounds.
struct NetlinkRequest: ~Copyable {
    private let storage: UnsafeMutableRawBufferPointer
    private let header: UnsafeMutablePointer<nlmsghdr>

    init(capacity: Int = 1024) {
        storage = .allocate(byteCount: capacity, alignment: 16)
        storage.initializeMemory(as: UInt8.self, repeating: 0)
        header = storage.baseAddress!.assumingMemoryBound(to: nlmsghdr.self)
    }
    deinit { storage.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: storage.baseAddress, count: Int(header.pointee.nlmsg_len)) }

    /// Starts anew. `flags` beside NLM_F_REQUEST.
    mutating func begin(type: UInt16, flags: Int32, sequence: UInt32) {
        _ = mnl_nlmsg_put_header(storage.baseAddress!)
        header.pointee.nlmsg_type = type
        header.pointee.nlmsg_flags = UInt16(NLM_F_REQUEST | flags)
        header.pointee.nlmsg_seq = sequence
    }
    /// The fixed part after the header.
    mutating func put<T: BitwiseCopyable>(fixed value: T) {
        let size = MemoryLayout<T>.size
        precondition(Int(header.pointee.nlmsg_len) + size + 4 <= storage.count, "netlink request too long")
        let place = mnl_nlmsg_put_extra_header(header, size)!
        withUnsafeBytes(of: value) { place.copyMemory(from: $0.baseAddress!, byteCount: size) }
    }
    /// `struct nfgenmsg`.
    mutating func putNetfilterHeader(family: UInt8, resource: UInt16 = 0) {
        put(fixed: nfgenmsg(nfgen_family: family, version: 0, res_id: resource.bigEndian))
    }
    mutating func put<T: FixedWidthInteger & BitwiseCopyable>(_ type: Int, _ value: T) {
        withUnsafeBytes(of: value) { put(type, $0) }
    }
    mutating func put(_ type: Int, _ bytes: UnsafeRawBufferPointer) {
        precondition(mnl_attr_put_check(header, storage.count, UInt16(type), bytes.count, bytes.baseAddress), "netlink request too long")
    }
    mutating func put(_ type: Int, _ bytes: [UInt8]) { bytes.withUnsafeBytes { put(type, $0) } }
    /// With the terminating zero.
    mutating func put(_ type: Int, _ text: String) {
        precondition(mnl_attr_put_strz_check(header, storage.count, UInt16(type), text), "netlink request too long")
    }
    /// Opens a nested attribute; close it with `end`.
    mutating func beginNested(_ type: Int) -> UnsafeMutablePointer<nlattr> {
        guard let nest = mnl_attr_nest_start_check(header, storage.count, UInt16(type)) else { preconditionFailure("netlink request too long") }
        return nest
    }
    mutating func endNested(_ nest: UnsafeMutablePointer<nlattr>) { mnl_attr_nest_end(header, nest) }
}
