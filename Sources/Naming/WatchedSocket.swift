import Platform
import Reactor

/// A socket with its watch on the control loop; `close` ends both, in that order, once.
///
/// The handler must hold its owner weakly: the loop keeps it until `close`.
@Control
final class WatchedSocket {
    private var descriptor: OwnedFD?
    private var id: WatchID?
    /// For system calls until `close`.
    let raw: CInt

    init(_ descriptor: consuming OwnedFD) {
        raw = descriptor.raw
        self.descriptor = consume descriptor
    }

    var isOpen: Bool { descriptor != nil }

    /// Begins to watch; once.
    func watch(_ interest: Interest, _ handler: @escaping @Control (Readiness) -> Void) throws(Errno) {
        id = try ControlLoop.shared.watch(raw, interest, handler)
    }

    func want(_ interest: Interest) {
        if let id { ControlLoop.shared.update(id, interest) }
    }

    func close() {
        if let id { ControlLoop.shared.unwatch(id) }
        id = nil
        descriptor = nil
    }
}
