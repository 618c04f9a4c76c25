import MeshModel
import Platform

/// How a node reaches the authority. `PlaneLink` is the real one.
package protocol AuthorityLink: Sendable {
    /// Dials the token's addresses, pins the root, then sends the request.
    /// - Returns: the reply and the root that was pinned.
    func join(_ request: JoinRequest, token: JoinToken) async throws(MeshError) -> (reply: JoinReply, root: [UInt8])
    /// Sends a request over a stream that the node's certificate opens.
    func sign(_ request: SignRequest, as identity: StoredIdentity) async throws(MeshError) -> SignReply
    /// Asks for a new node certificate when the old one has expired and opens nothing any more.
    func recover(_ request: RecoverRequest, as identity: StoredIdentity) async throws(MeshError) -> SignReply
}

/// Runs blocking or costly work off the control thread.
@concurrent
func offload<T: Sendable>(_ body: @Sendable () throws(MeshError) -> T) async throws(MeshError) -> T { try body() }
