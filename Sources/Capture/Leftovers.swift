import Glibc
import MeshModel
import Netfilter

/// What an agent that is gone has left in the kernel, by name and by mark of origin, whatever its settings were.
package enum Leftovers {
    package enum Mode: Equatable, Sendable {
        /// After a crash (`ExecStopPost`). The guard stays: calls to virtual addresses fail at once instead of hanging, and nothing else is refused
        /// unless `keepBlock`, which leaves blocked cgroups and ports under STRICT closed until an agent is back.
        case crash(keepBlock: Bool)
        /// Everything goes: the operator stopped or removed Weft.
        case purge
    }

    /// Call it where no agent runs: a living agent would put things back. Uses the calling thread's network namespace.
    package static func remove(_ mode: Mode) throws(MeshError) {
        do throws(NetfilterError) {
            let tables = try NFTables()
            try removeRedirects(tables)
            try RouteKeeper.remove()
            try removeRefusals(tables, mode)
        } catch {
            throw CaptureEngine.problem("removing what an agent left", error)
        }
    }

    /// The kernel has removed an owned table with its owner; one without owner can only be somebody's mistake, and goes too.
    private static func removeRedirects(_ tables: NFTables) throws(NetfilterError) {
        guard let table = try tables.tables().first(where: { $0.name == KernelNames.table && $0.family == .inet }) else { return }
        var transaction = NFTransaction()
        transaction.delete(table.id)
        try tables.commit(transaction)
    }

    private static func removeRefusals(_ tables: NFTables, _ mode: Mode) throws(NetfilterError) {
        let table = NFTableID(name: KernelNames.guardTable)
        guard try tables.tables().contains(where: { $0.id == table }) else { return }
        let sets = try tables.sets(table)
        var transaction = NFTransaction()
        switch mode {
        case .purge: transaction.destroy(table)
        // It was told to stop and was killed while it drained (`KernelProgram.retire`): nobody waits for an agent to come back.
        case .crash where !sets.contains(where: { $0.name == KernelNames.blockedSet }): transaction.destroy(table)
        case .crash(keepBlock: true): break
        case .crash(keepBlock: false):
            for set in sets where [KernelNames.blockedSet, CaptureSets.strictPorts].contains(set.name) { transaction.flush(set) }
        }
        try tables.commit(transaction)
    }
}
