import Glibc
import Platform
import Reactor

/// A relay before the tunnel port that cuts what a client says first, its ClientHello, into the smallest pieces.
enum Fragmenter {
    enum Kind: String, CaseIterable, Sendable {
        /// Each byte in a segment of its own.
        case segments
        /// Each byte of the message in a TLS record of its own (RFC 8446 section 5.1), in as few segments as may be.
        case records
        /// Both.
        case recordsInSegments
    }

    static func start(before target: SocketAddress, _ kind: Kind) throws -> SocketAddress {
        try Peers.server { client in
            guard let server = try? Peers.connect(target) else { return }
            defer { close(server) }
            Socket.setNoDelay(server)
            var hello = [UInt8](repeating: 0, count: 16_384 + 5)
            guard readWhole(client, &hello, 5) else { return }
            let length = Int(hello[3]) << 8 | Int(hello[4])
            guard hello[0] == 0x16, readWhole(client, &hello, 5 + length, from: 5) else { return }
            let records = hello[5..<5 + length].flatMap { byte -> [UInt8] in [0x16, 3, 1, 0, 1, byte] }
            switch kind {
            case .segments: each(hello[..<(5 + length)], to: server)
            case .records: Peers.sendAll(server, records)
            case .recordsInSegments: each(records[...], to: server)
            }
            relay(client, server)
        }
    }

    private static func each(_ bytes: ArraySlice<UInt8>, to fd: CInt) {
        for byte in bytes {
            Peers.sendAll(fd, [byte])
            // Lets the worker see it, now and then.
            if byte % 8 == 0 { usleep(100) }
        }
    }

    private static func readWhole(_ fd: CInt, _ buffer: inout [UInt8], _ count: Int, from start: Int = 0) -> Bool {
        var have = start
        while have < count {
            let more = buffer.withUnsafeMutableBytes { read(fd, $0.baseAddress! + have, count - have) }
            if more <= 0 { return false }
            have += more
        }
        return true
    }

    /// Both ways, until one side ends. On one thread: another that still used the descriptors after their close would meddle with whoever has them next.
    private static func relay(_ client: CInt, _ server: CInt) {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        var ends = [pollfd(fd: client, events: Int16(POLLIN), revents: 0), pollfd(fd: server, events: Int16(POLLIN), revents: 0)]
        while poll(&ends, 2, 20_000) > 0 {
            for (from, to) in [(0, 1), (1, 0)] where ends[from].revents != 0 {
                let count = read(ends[from].fd, &buffer, buffer.count)
                guard count > 0, Peers.sendAll(ends[to].fd, buffer[..<count]) else { return }
            }
        }
    }
}
