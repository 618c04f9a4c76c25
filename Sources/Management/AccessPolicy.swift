import Glibc
import ManagementAPI

/// Who may use the management API: root and the agent's own user everything, the administrators' group everything, the readers' group reading,
/// and what concerns the caller's own workload.
package struct AccessPolicy: Sendable, Equatable {
    /// Names of groups in the system's group database. One that does not exist admits nobody.
    package var readers: String
    package var administrators: String

    package init(readers: String = "weft", administrators: String = "weft-admin") {
        self.readers = readers
        self.administrators = administrators
    }

    /// How far the caller may go.
    package enum Standing: Sendable { case reader, administrator }

    /// - Parameters:
    ///   - group: the number of a group, nil when there is none of that name.
    ///   - agent: the user that the agent runs as.
    /// - Throws: `forbidden`, naming the group that is needed.
    @discardableResult package func check(
        _ peer: PeerCredentials, for access: Route.Access, agent: UInt32 = geteuid(), group: (String) -> UInt32? = GroupDatabase.number
    ) throws(APIError) -> Standing {
        if peer.uid == 0 || peer.uid == agent { return .administrator }
        let isAdministrator = group(administrators).map(peer.isIn) ?? false
        if isAdministrator { return .administrator }
        let isReader = group(readers).map(peer.isIn) ?? false
        switch access {
        case .read, .own:
            if isReader { return .reader }
            throw refusal("user \(peer.uid) may not talk to this agent", needs: readers)
        case .change:
            throw refusal("user \(peer.uid) may not change anything on this agent", needs: administrators)
        }
    }

    private func refusal(_ message: String, needs group: String) -> APIError {
        APIError(
            .forbidden, code: "forbidden", "\(message): that needs root or group \(group)",
            remedy: "use sudo, or add the user with `usermod -aG \(group) USER` and log in again", source: "policy")
    }
}

package enum GroupDatabase {
    /// The group's number, or nil when the group database has none of that name. Asked anew each time: a group may be made while the agent runs.
    @Sendable package static func number(of name: String) -> UInt32? {
        var entry = group()
        var found: UnsafeMutablePointer<group>?
        var size = 4096
        while true {
            let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: size)
            defer { buffer.deallocate() }
            let result = getgrnam_r(name, &entry, buffer, size, &found)
            // A group with very many members needs more room.
            if result == ERANGE, size < 16 << 20 {
                size *= 4
                continue
            }
            return result == 0 && found != nil ? entry.gr_gid : nil
        }
    }
}
