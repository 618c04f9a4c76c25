import MeshModel
import Platform

/// What the shell has to do after an input.
package enum CatalogEffect: Hashable, Sendable {
    case send(CatalogMessage, to: String)
    /// To every connected peer; encode it once.
    case broadcast(CatalogMessage)
    /// `view()` would give something else than before.
    case viewChanged
    /// The same, but nothing that gets traffic loses it: it can wait for what else there is to say of a node that is back.
    case viewImproved
    /// Of another origin something else is known than before, or nothing any more.
    case save(String)
    /// Store it durably before anything else is sent.
    case saveGeneration(UInt64)
    /// The peer sent too much that had to be refused.
    case disconnect(String)
    case event(CatalogEvent)
}

/// What operators and the log want to know.
package enum CatalogEvent: Hashable, Sendable, CustomStringConvertible {
    case refused(Refusal, origin: String, peer: String)
    case nodeAppeared(String)
    case nodeDropped(String, after: Duration)
    case generationJumped(from: UInt64, to: UInt64)
    case portConflict(ServiceName, chosen: UInt16, others: [UInt16: [String]])
    case tooManyVersions(ServiceName, count: Int)
    case cannotSign

    package var description: String { text.printable }
    private var text: String {
        switch self {
        case .refused(let reason, let origin, let peer):
            "a record of \(origin), received from \(peer), is refused: \(reason)"
        case .nodeAppeared(let name): "node \(name) has records"
        case .nodeDropped(let name, let after): "the records of \(name) are dropped: it has been gone for \(after.milliseconds / 1000) s"
        case .generationJumped(let from, let to):
            "this node's records were known from an earlier life (generation \(from)); continuing with \(to). "
                + "If this repeats, another node is running under the same name"
        case .portConflict(let service, let chosen, let others):
            "nodes disagree on the port of \(service): \(chosen) is used; "
                + others.sorted { $0.key < $1.key }.map { "\($0.value.sorted().joined(separator: ", ")) said \($0.key)" }.joined(separator: "; ")
        case .tooManyVersions(let service, let count):
            "\(service) has \(count) versions and only the first \(Subset.perService) have a name of their own (VERSION.\(service)): use fewer"
        case .cannotSign: "local changes wait: this node has no valid certificate to sign them with"
        }
    }
}
