import MeshModel
import Platform
import Reactor

/// Waiting for changes of the membership.
extension Gossip {
    /// Readers that may wait at once.
    package nonisolated static let maximumReaders = 64

    struct Reader {
        let continuation: CheckedContinuation<Void, Never>
        let timer: TimerID
    }

    /// The changes of other members after a number, as soon as there are any or `timeout` is over. Without a number: none, and where to begin.
    ///
    /// - Throws: `too_many_readers`, and `gossip_stopped` when gossip ends meanwhile.
    package func changes(after number: UInt64?, timeout: Duration) async throws(MeshError) -> MemberLog.Reading {
        guard isRunning else { throw Self.stopped }
        guard let number else { return log.read(after: log.last) }
        if log.last == number, timeout > .zero { try await waitForChange(after: number, timeout) }
        return log.read(after: number)
    }

    private func waitForChange(after number: UInt64, _ timeout: Duration) async throws(MeshError) {
        guard readers.count < Self.maximumReaders else {
            throw MeshError(
                .policy, code: "too_many_readers", "\(Self.maximumReaders) readers wait for changes of the membership already",
                remedy: "end one, as another `weft members --watch`", retryable: true)
        }
        nextReader += 1
        let reader = nextReader
        await withCheckedContinuation { continuation in
            // Asked inside: other jobs may run between the `await` and the closure.
            guard isRunning, log.last == number else { return continuation.resume() }
            let timer = ControlLoop.shared.after(timeout) { [weak self] in self?.wake(reader) }
            readers[reader] = Reader(continuation: continuation, timer: timer)
        }
        guard isRunning else { throw Self.stopped }
    }

    private func wake(_ number: UInt64) {
        guard let reader = readers.removeValue(forKey: number) else { return }
        ControlLoop.shared.cancel(reader.timer)
        reader.continuation.resume()
    }

    func wakeReaders() { for number in Array(readers.keys) { wake(number) } }

    private static let stopped = MeshError(
        .internal, code: "gossip_stopped", "this node takes no part in gossip any more: its agent stops, or it left the mesh",
        remedy: "`weft status` says which", retryable: true)
}
