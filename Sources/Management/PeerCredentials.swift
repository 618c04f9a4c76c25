import CLinux
import Glibc
import ManagementAPI
import NIOCore

/// Who is at the other end of a Unix socket connection, as the kernel recorded it when the client connected (unix(7), SO_PEERCRED and SO_PEERGROUPS).
package struct PeerCredentials: Sendable, Equatable {
    package var pid: Int32
    package var uid: UInt32
    package var gid: UInt32
    /// Supplementary groups; the kernel may or may not repeat `gid` among them.
    package var groups: [UInt32]

    package init(pid: Int32, uid: UInt32, gid: UInt32, groups: [UInt32]) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
        self.groups = groups
    }

    package func isIn(_ group: UInt32) -> Bool { gid == group || groups.contains(group) }
}

extension PeerCredentials {
    /// Asks the kernel about a connected Unix socket. From any thread.
    static func of(_ channel: any Channel) async throws(APIError) -> PeerCredentials {
        do {
            let answer = channel.eventLoop.submit { () throws -> PeerCredentials? in
                try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { try read($0) }
            }
            if let credentials = try await answer.get() { return credentials }
        } catch {
            throw APIError(.failed, code: "peer_credentials", "the kernel does not tell who is calling: \(error)", source: "kernel")
        }
        throw APIError(.failed, code: "peer_credentials", "this connection has no socket to ask who is calling")
    }

    private static func read(_ socket: CInt) throws -> PeerCredentials {
        var credentials = clinux_ucred()
        var length = socklen_t(MemoryLayout<clinux_ucred>.size)
        guard getsockopt(socket, SOL_SOCKET, CInt(CLINUX_SO_PEERCRED), &credentials, &length) == 0 else {
            throw IOError(errnoCode: errno, reason: "SO_PEERCRED")
        }
        return PeerCredentials(pid: credentials.pid, uid: credentials.uid, gid: credentials.gid, groups: try groups(socket))
    }

    private static func groups(_ socket: CInt) throws -> [UInt32] {
        // NGROUPS_MAX is 65,536; most users have a few. On ERANGE the kernel writes the length it needs.
        var capacity = 64
        while true {
            var groups = [UInt32](repeating: 0, count: capacity)
            var length = socklen_t(capacity * MemoryLayout<UInt32>.stride)
            if getsockopt(socket, SOL_SOCKET, CInt(CLINUX_SO_PEERGROUPS), &groups, &length) == 0 {
                return Array(groups.prefix(Int(length) / MemoryLayout<UInt32>.stride))
            }
            let needed = Int(length) / MemoryLayout<UInt32>.stride
            guard errno == ERANGE, needed > capacity else { throw IOError(errnoCode: errno, reason: "SO_PEERGROUPS") }
            capacity = needed
        }
    }
}
