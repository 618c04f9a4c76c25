import MeshModel
import Platform

/// The authority's memory of tokens: what each may do and whether it was used. Pure; `AuthorityService` stores it.
///
/// A token that was dropped from here is refused as unknown, so forgetting is always safe.
package struct TokenLedger: Codable, Sendable, Equatable {
    /// Tokens that could still be used.
    package static let maximumOutstanding = 1_000
    /// Used and expired ones are kept up to this number, oldest dropped first, so that a refusal can say why.
    package static let maximumRemembered = 4_000
    package static let maximumAllowed = 256
    package static let maximumLifetime = Duration.seconds(30 * 86_400)

    package struct Record: Codable, Sendable, Equatable {
        package var id: String
        /// SHA-256 of the secret; the secret itself is only in the token.
        package var secretHash: Bytes
        package var node: String
        package var allow: [IdentityPattern]
        package var rights: [ConfigurationRight]?
        package var created: Int64
        package var expires: Int64
        package var replace: Bool
        /// When it was used, seconds since 1970.
        package var used: Int64?
    }

    package private(set) var tokens: [String: Record] = [:]

    package init() {}

    package mutating func add(_ record: Record, now: WallTime) throws(MeshError) {
        let outstanding = tokens.values.count { $0.used == nil && $0.expires > now.seconds }
        guard outstanding < Self.maximumOutstanding else {
            throw MeshError(
                .policy, code: "too_many_tokens", "\(outstanding) unused join tokens exist, the most that may",
                remedy: "let them expire, or withdraw some with `weft token delete`")
        }
        tokens[record.id] = record
        forget(now: now)
    }

    package mutating func remove(_ id: String) -> Bool { tokens.removeValue(forKey: id) != nil }

    /// Whether the token may be used for `node` now. Changes nothing.
    package func check(id: String, secret: [UInt8], node: String, now: WallTime) throws(MeshError) -> Record {
        // One answer for a wrong id and a wrong secret: a guess learns nothing.
        guard let record = tokens[id], Hash.equal(record.secretHash.bytes, Hash.sha256(secret)) else {
            throw Self.refusal("token_unknown", "the authority does not know this join token", node)
        }
        if let used = record.used {
            throw Self.refusal(
                "token_used",
                "the token for node \(record.node) was used \(spoken(max(0, now.seconds - used))) ago and works once, even when the answer was lost",
                record.node)
        }
        guard now.seconds < record.expires else {
            throw Self.refusal(
                "token_expired", "the join token for node \(record.node) expired \(spoken(now.seconds - record.expires)) ago", record.node)
        }
        guard record.node == node else {
            throw Self.refusal("token_name", "the join token is for node \(record.node), not for \(node)", node)
        }
        return record
    }

    /// The token is used from now on, whatever happens next.
    package mutating func use(_ id: String, now: WallTime) {
        tokens[id]?.used = now.seconds
        forget(now: now)
    }

    private mutating func forget(now: WallTime) {
        let dead = tokens.values.filter { $0.used != nil || $0.expires <= now.seconds }
        guard dead.count > Self.maximumRemembered else { return }
        for record in dead.sorted(by: { $0.created < $1.created }).prefix(dead.count - Self.maximumRemembered) { tokens[record.id] = nil }
    }

    private static func refusal(_ code: String, _ message: String, _ node: String) -> MeshError {
        MeshError(.policy, code: code, message, remedy: "make a new token on the authority's node: `weft token create --node \(node) --allow …`")
    }
}
