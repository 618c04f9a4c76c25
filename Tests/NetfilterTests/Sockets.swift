import CLinux
import Glibc
import Platform

@testable import Netfilter

/// A blocking socket of a test.
struct TestSocket: ~Copyable {
    let fd: OwnedFD

    /// - Parameter v6: of family AF_INET6, whatever the address; IPv4 addresses are then mapped.
    init(_ transport: FlowProtocol, bind address: SocketAddress? = nil, v6: Bool = false, listen listening: Bool = false) throws {
        let isV6 = v6 || address.map { !$0.ip.isV4 } ?? false
        let kind = transport == .tcp ? SOCK_STREAM : SOCK_DGRAM
        let raw = socket(isV6 ? AF_INET6 : AF_INET, CInt(kind.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw LabFailure("socket") }
        var on: CInt = 1
        setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        setsockopt(raw, SOL_SOCKET, SO_REUSEPORT, &on, 4)
        var timeout = timeval(tv_sec: 2, tv_usec: 0)
        setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        if let address {
            guard Self.mapped(address, isV6).withSockaddr({ bind(raw, $0, $1) }) == 0 else { throw LabFailure("bind \(address)") }
        }
        if listening { guard Glibc.listen(raw, 128) == 0 else { throw LabFailure("listen") } }
        fd = OwnedFD(consuming: raw)
    }
    private init(accepted raw: CInt) { fd = OwnedFD(consuming: raw) }

    private static func mapped(_ address: SocketAddress, _ isV6: Bool) -> SocketAddress {
        guard isV6, address.ip.isV4 else { return address }
        return SocketAddress(IPAddress(high: 0, low: 0xffff_0000_0000 | UInt64(address.ip.v4Number)), port: address.port)
    }

    func connect(to address: SocketAddress, v6: Bool = false) throws {
        guard Self.mapped(address, v6).withSockaddr({ Glibc.connect(fd.raw, $0, $1) }) == 0 else { throw LabFailure("connect to \(address)") }
    }
    func accept() throws -> TestSocket {
        let raw = Glibc.accept(fd.raw, nil, nil)
        guard raw >= 0 else { throw LabFailure("accept") }
        return TestSocket(accepted: raw)
    }
    func send(to address: SocketAddress) throws {
        guard address.withSockaddr({ sendto(fd.raw, "x", 1, 0, $0, $1) }) == 1 else { throw LabFailure("send to \(address)") }
    }
    /// Who sent the next datagram.
    func receive() throws -> SocketAddress {
        var byte: UInt8 = 0
        guard let peer = SocketAddress.filled(by: { recvfrom(fd.raw, &byte, 1, 0, $0, $1) < 0 ? -1 : 0 }) else { throw LabFailure("receive") }
        return peer
    }
    var local: SocketAddress { SocketAddress.filled { getsockname(fd.raw, $0, $1) }! }
    var peer: SocketAddress { SocketAddress.filled { getpeername(fd.raw, $0, $1) }! }
    var inode: UInt32 {
        var info = stat()
        fstat(fd.raw, &info)
        return UInt32(truncatingIfNeeded: info.st_ino)
    }
}

/// A cgroup for a test, below the v2 root; removed at the end of its life.
struct TestCgroup: ~Copyable {
    let path: String

    init(_ name: String) throws {
        let root = clinux_filesystem_type("/sys/fs/cgroup") == CLINUX_CGROUP2_SUPER_MAGIC ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified"
        path = "\(root)/weft-test-\(getpid())-\(name)"
        guard mkdir(path, 0o755) == 0 else { throw LabFailure("mkdir \(path)") }
    }
    deinit { rmdir(path) }

    var id: UInt64 {
        var info = stat()
        stat(path, &info)
        return UInt64(info.st_ino)
    }
    /// A shell command line that runs `command` in the cgroup.
    func running(_ command: String) -> String { "echo $$ > \(path)/cgroup.procs && exec \(command)" }
}
