import Glibc
import MeshModel
import Platform

/// Files that are either the old or the new content after a crash, never a part: temporary file, fsync, rename, fsync of the directory.
///
/// Blocking: call it off the control thread. Two writers of one path must not run at once.
package enum AtomicFile {
    /// The bytes are on disk when this returns. The file's mode is exactly `mode`.
    ///
    /// - Parameter synced: false does not wait for the disk; after a crash of the host the file may be damaged, and its reader has to notice.
    package static func write(_ bytes: [UInt8], to path: String, mode: mode_t, synced: Bool = true) throws(MeshError) {
        let directory = parent(of: path)
        let temporary = path + ".new"
        // A crash may have left one; it was never part of the state.
        unlink(temporary)
        do {
            let file = OwnedFD(consuming: try systemCall { open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode) })
            _ = try systemCall { fchmod(file.raw, mode) }
            try writeAll(bytes, to: file.raw)
            if synced { _ = try systemCall { fsync(file.raw) } }
            _ = try systemCall { rename(temporary, path) }
            if synced { try syncDirectory(directory) }
        } catch {
            unlink(temporary)
            throw .storage("write", path, error)
        }
    }

    private static func writeAll(_ bytes: [UInt8], to fd: CInt) throws(Errno) {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress! + offset, $0.count - offset) }
            if count >= 0 {
                offset += count
            } else if Errno.current.code != EINTR {
                throw Errno.current
            }
        }
    }

    /// The content, or nil when there is no such file.
    /// - Parameter secret: refuses a file that others could read or that another user owns.
    package static func read(_ path: String, secret: Bool, maximumBytes: Int = 16 << 20) throws(MeshError) -> [UInt8]? {
        let raw = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard raw >= 0 else {
            let error = Errno.current
            if error.code == ENOENT { return nil }
            throw .storage("read", path, error)
        }
        let file = OwnedFD(consuming: raw)
        var status = stat()
        guard fstat(file.raw, &status) == 0 else { throw .storage("read", path, .current) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .corrupt(path, "it is no regular file") }
        if secret { try checkPrivate(status, path: path, wanted: "600") }
        guard status.st_size <= maximumBytes else { throw .corrupt(path, "it has \(status.st_size) bytes") }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= maximumBytes {
            let count = Glibc.read(file.raw, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count > 0 {
                bytes.append(contentsOf: chunk[..<count])
            } else if Errno.current.code != EINTR {
                throw .storage("read", path, .current)
            }
        }
        throw .corrupt(path, "it grew while it was read")
    }

    /// Makes a directory with mode 0700, or refuses one that others may enter. Only the last part of the path is made.
    package static func privateDirectory(_ path: String) throws(MeshError) {
        if mkdir(path, 0o700) == 0 {
            do { try syncDirectory(parent(of: path)) } catch { throw .storage("make", path, error) }
        } else if Errno.current.code != EEXIST {
            throw .storage("make", path, .current)
        }
        try checkPrivateDirectory(path)
    }

    package static func checkPrivateDirectory(_ path: String) throws(MeshError) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw .storage("read", path, .current) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw .corrupt(path, "it is no directory") }
        try checkPrivate(status, path: path, wanted: "700")
    }

    private static func checkPrivate(_ status: stat, path: String, wanted: String) throws(MeshError) {
        guard status.st_mode & 0o077 == 0 else {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw MeshError(
                .configuration, code: "state_permissions", "\(path) holds secrets and has mode \(mode), so that others may read it",
                remedy: "run `chmod \(wanted) \(path)`, and replace the keys if others could have read them")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw MeshError(
                .configuration, code: "state_permissions", "\(path) belongs to user \(status.st_uid), not to the agent's user \(geteuid())",
                remedy: "run `chown \(geteuid()) \(path)` if you know how that came about")
        }
    }

    /// When a file was last written, in nanoseconds since 1970; 0 when there is none.
    package static func modified(_ path: String) -> Int64 {
        var status = stat()
        guard lstat(path, &status) == 0 else { return 0 }
        return Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Removes a file; that it is not there is no error.
    package static func remove(_ path: String) throws(MeshError) {
        guard unlink(path) == 0 || Errno.current.code == ENOENT else { throw .storage("remove", path, .current) }
    }

    static func syncDirectory(_ path: String) throws(Errno) {
        let directory = OwnedFD(consuming: try systemCall { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) })
        _ = try systemCall { fsync(directory.raw) }
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
