import Glibc
import Platform
import Reactor

/// A relay that delivers what it gets after a while, in both directions and in order: two hosts that are far from each other.
enum LongWay {
    static func start(before target: SocketAddress, milliseconds: Int) throws -> SocketAddress {
        try Peers.server { client in
            guard let server = try? Peers.connect(target) else { return }
            defer { close(server) }
            for fd in [client, server] { Socket.setNoDelay(fd) }
            relay([client, server], .milliseconds(milliseconds))
        }
    }

    /// On one thread: another that still used the descriptors after their close would meddle with whoever has them next.
    private static func relay(_ fds: [CInt], _ delay: Duration) {
        var onTheWay: [[(due: MonotonicTime, bytes: ArraySlice<UInt8>)]] = [[], []]
        var buffer = [UInt8](repeating: 0, count: 262_144)
        var ends = fds.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while true {
            let next = onTheWay.compactMap(\.first?.due).min()
            let wait = next.map { max(0, ($0 - .now()).milliseconds) } ?? 20_000
            if poll(&ends, 2, CInt(wait)) == 0, next == nil { return }
            for (from, to) in [(0, 1), (1, 0)] {
                if ends[from].revents != 0 {
                    let count = read(fds[from], &buffer, buffer.count)
                    guard count > 0 else { return }
                    onTheWay[from].append((.now() + delay, buffer[..<count]))
                }
                while let first = onTheWay[from].first, first.due <= .now() {
                    guard Peers.sendAll(fds[to], first.bytes) else { return }
                    onTheWay[from].removeFirst()
                }
            }
        }
    }
}
