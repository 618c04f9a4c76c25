import Glibc
import Platform
import Reactor

/// TCP connections between members that carry nothing: they stand for the plane's streams, whose end says that a process may be gone.
@Control
final class Links {
    private let listener: OwnedFD
    private var watch: WatchID?
    private var links: [CInt: (watch: WatchID, name: String?)] = [:]
    private let onLost: @Control (String) -> Void

    init(_ ip: IPAddress, port: UInt16, onLost: @escaping @Control (String) -> Void) throws {
        self.onLost = onLost
        listener = try Socket.tcpListener(SocketAddress(ip, port: port))
        let raw = listener.raw
        watch = try ControlLoop.shared.watch(raw, .read) { [weak self] _ in self?.accept(raw) }
    }

    func connect(_ name: String, _ address: SocketAddress) throws {
        try add(Socket.connect(to: address).release(), name)
    }

    private func accept(_ listener: CInt) {
        while case .accepted(let fd, _) = Socket.accept(listener) { try? add(fd.release(), nil) }
    }

    /// Only who dialled knows who is at the other end.
    private func add(_ fd: CInt, _ name: String?) throws {
        links[fd] = (try ControlLoop.shared.watch(fd, .read) { [weak self] _ in self?.ended(fd) }, name)
    }

    private func ended(_ fd: CInt) {
        guard let link = links.removeValue(forKey: fd) else { return }
        ControlLoop.shared.unwatch(link.watch)
        close(fd)
        if let name = link.name { onLost(name) }
    }

    func stop() {
        for (fd, link) in links {
            ControlLoop.shared.unwatch(link.watch)
            close(fd)
        }
        links = [:]
        if let watch { ControlLoop.shared.unwatch(watch) }
        watch = nil
    }
}
