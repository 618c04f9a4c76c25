/// What two nodes say to each other about resources.
///
/// New writings go out at once (`writes`, then `have` from node to node); comparisons find what was missed: a digest of everything, if that differs the
/// digests of 64 parts, and of the parts that differ the versions. Content travels only when it is asked for.
package enum ResourceMessage: Hashable, Sendable {
    /// The digest of everything. `isSettled`: the sender was not away for longer than deletions are remembered.
    case summary(digest: UInt64, isSettled: Bool)
    /// The digests of all parts.
    case parts([UInt64], isSettled: Bool)
    /// Versions that the sender has. With `parts`, these are all of the parts named, and the answer is what the receiver has newer.
    case have([KnownResource], parts: [Int]?)
    case want([ResourceKey])
    case writes([ResourceWrite])
    /// The sender was not away, does not know these, and they are older than deletions are remembered.
    case gone([KnownResource])
}

package struct KnownResource: Hashable, Sendable {
    package let key: ResourceKey
    package let version: ResourceVersion
    package init(key: ResourceKey, version: ResourceVersion) {
        self.key = key
        self.version = version
    }
}

/// What the shell has to do after an input.
package enum ResourceEffect: Hashable, Sendable {
    case send(ResourceMessage, to: String)
    /// To every connected peer; encode it once.
    case broadcast(ResourceMessage)
    /// To a few connected peers, chosen at random.
    case spread(ResourceMessage, except: String)
    /// The resource is another, is gone, or is only remembered as deleted: store and interpret it.
    case changed(ResourceKey)
    /// The node agreed with one that was not away: remember that across restarts.
    case agreed
    /// The peer passed too much on that had to be refused.
    case disconnect(String)
    case event(ResourceEvent)
}

/// What operators and the log want to know.
package enum ResourceEvent: Hashable, Sendable, CustomStringConvertible {
    case written(ResourceKey, ResourceVersion, isDeletion: Bool)
    case refused(ResourceRefusal, ResourceKey, ResourceVersion, peer: String)
    case unreadable(ResourceRefusal, peer: String)
    case concurrent(ResourceKey, winner: ResourceVersion, loser: ResourceVersion)
    case dropped(ResourceKey, ResourceVersion, peer: String)
    case apart(ResourceKey, ResourceVersion, peer: String)
    case away(days: Int64)

    package var description: String {
        switch self {
        case .written(let key, let version, let isDeletion): "\(key) was \(isDeletion ? "deleted" : "written") by node \(version.author) (version \(version))"
        case .refused(let reason, let key, let version, let peer): "\(key) of version \(version), received from \(peer), is refused: \(reason)"
        case .unreadable(let reason, let peer): "a message of node \(peer) about resources is refused: \(reason)"
        case .concurrent(let key, let winner, let loser):
            "\(key): node \(winner.author) replaced what \(loser.author) had written meanwhile, without having seen it (\(winner) over \(loser)); "
                + "`weft apply` again on one of them if the other was meant"
        case .dropped(let key, let version, let peer):
            "\(key) of version \(version) is dropped: it was deleted while this node was away, says node \(peer)"
        case .apart(let key, let version, let peer):
            "\(key) of version \(version) is not taken by node \(peer), which was apart for longer than deletions are remembered: `weft apply` it again if it is to stay, "
                + "or `weft delete` it"
        case .away(let days): "this node was without the others for more than \(days) days: it takes their word on resources again from the start"
        }
    }
}
