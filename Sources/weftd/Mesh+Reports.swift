import Catalog
import Identity
import Logging
import MeshModel
import Plane
import Platform
import Proxy
import Reactor

/// What workers tell.
extension Mesh {
    func take(_ report: WorkerReport) {
        switch report {
        case .flows(let flows):
            accessLog?.write(flows)
            recent.append(contentsOf: flows.suffix(Self.recentBound))
            if recent.count > 2 * Self.recentBound { recent.removeFirst(recent.count - Self.recentBound) }
        case .handoff(let handoff): accept(handoff)
        case .problem(let problem): note(problem)
        case .ready, .stopped: break
        }
    }

    /// A connection on the tunnel port that speaks to the node and not to a workload.
    private func accept(_ handoff: Handoff) {
        guard let connection = handoff.take(), !isStopped else { return }
        if handoff.alpn == "weft-join/1" { return joinServer.serveJoin(connection) }
        let stream = PlaneStream(accepted: connection)
        joinServer.register(on: stream)
        catalog.accept(stream)
        stream.start()
    }

    /// Logs a problem the first time and then at most once in ten seconds for each kind; all are counted.
    func note(_ problem: WorkerProblem) {
        let now = MonotonicTime.now()
        var entry = problems[problem.code] ?? (problem.message, 0, MonotonicTime(nanoseconds: 0))
        entry.count += 1
        entry.message = problem.message
        if entry.count == 1 || now - entry.logged >= .seconds(10) {
            logger.warning("\(problem.message)", metadata: entry.count > 1 ? ["code": "\(problem.code)", "times": "\(entry.count)"] : ["code": "\(problem.code)"])
            entry.logged = now
        }
        problems[problem.code] = entry
    }
}
