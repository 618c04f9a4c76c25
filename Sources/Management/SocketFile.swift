import Glibc
import ManagementAPI

/// The management socket's name in the file system.
///
/// A socket is bound under a temporary name, given its owner and mode there, and linked to its own name last: nobody can ever connect to one that is
/// too open, and two agents that start at once cannot both get the name.
struct SocketFile: Sendable {
    let path: String
    var temporaryPath: String { "\(path).\(getpid())" }

    /// The longest path that fits, temporary suffix included: `sun_path` has 108 bytes, the last one zero (unix(7)).
    static let maximumPath = 107 - 12

    /// Makes sure that the name is free; removes a socket that no process listens on.
    /// - Throws: `conflict` when somebody answers or something else has the name.
    func claim() throws(APIError) {
        guard path.utf8.count <= Self.maximumPath else {
            throw APIError(
                .invalid, code: "socket_path", "the socket's path \(path) has more than \(Self.maximumPath) bytes",
                remedy: "set a shorter management.socket or runtime directory", source: "configuration")
        }
        var info = stat()
        guard lstat(path, &info) == 0 else {
            if errno == ENOENT { return }
            throw failure("look at", path)
        }
        guard info.st_mode & S_IFMT == S_IFSOCK else {
            throw APIError(
                .conflict, code: "socket_path", "\(path) exists and is not a socket", remedy: "remove it, or set management.socket to another path",
                source: "configuration")
        }
        switch Self.probe(path) {
        case .listening:
            throw APIError(
                .conflict, code: "socket_in_use", "another agent answers on \(path)",
                remedy: "stop it (`systemctl stop weft`), or give this one its own runtime directory", source: "configuration")
        case .nobody:
            guard unlink(path) == 0 || errno == ENOENT else { throw failure("remove the stale socket", path) }
        case .failed(let code): throw failure("connect to", path, code)
        }
    }

    /// Gives the bound socket its owner, mode and name. Returns what tells later that the name is still ours.
    func publish(group: UInt32?) throws(APIError) -> Identity {
        // 0600 first: between the change of group and of mode nobody else may slip in.
        guard chmod(temporaryPath, 0o600) == 0 else { throw failure("set the mode of", temporaryPath) }
        if let group {
            guard chown(temporaryPath, uid_t.max, group) == 0 else { throw failure("give group \(group)", temporaryPath) }
            guard chmod(temporaryPath, 0o660) == 0 else { throw failure("set the mode of", temporaryPath) }
        }
        guard link(temporaryPath, path) == 0 else {
            let code = errno
            unlink(temporaryPath)
            if code == EEXIST {
                throw APIError(
                    .conflict, code: "socket_in_use", "another agent took \(path) just now", remedy: "stop one of the two", source: "configuration")
            }
            throw failure("make", path, code)
        }
        unlink(temporaryPath)
        var info = stat()
        guard lstat(path, &info) == 0 else { throw failure("look at", path) }
        return Identity(device: UInt64(info.st_dev), inode: UInt64(info.st_ino))
    }

    /// Takes the name away if it is still the socket that was published.
    func remove(_ identity: Identity?) {
        var info = stat()
        guard let identity, lstat(path, &info) == 0, identity == Identity(device: UInt64(info.st_dev), inode: UInt64(info.st_ino)) else { return }
        unlink(path)
    }

    /// What a failed start left.
    func removeTemporary() { unlink(temporaryPath) }

    struct Identity: Sendable, Equatable {
        var device: UInt64
        var inode: UInt64
    }

    private enum Probe {
        case listening, nobody
        case failed(CInt)
    }

    private static func probe(_ path: String) -> Probe {
        let fd = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard fd >= 0 else { return .failed(errno) }
        defer { close(fd) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        // EAGAIN: somebody listens and the backlog is full.
        if result == 0 || errno == EAGAIN || errno == EINPROGRESS { return .listening }
        return errno == ECONNREFUSED || errno == ENOENT ? .nobody : .failed(errno)
    }

    private func failure(_ action: String, _ path: String, _ code: CInt = errno) -> APIError {
        APIError(
            .failed, code: "socket_path", "cannot \(action) \(path): \(String(cString: strerror(code)))",
            remedy: "the directory must exist and be the agent's own (systemd makes /run/weft)", source: "kernel")
    }
}
