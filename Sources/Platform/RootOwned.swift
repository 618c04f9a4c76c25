import Glibc

/// Whether a file is root's alone to change: what the agent runs, or believes about what to run, must be.
public enum RootOwned {
    /// Why others than root could change what stands under this path, or that nothing does; nil when only root can.
    ///
    /// The file and every directory on the way to it, links followed, must belong to root and be writable for nobody else.
    public static func obstacle(_ path: String) -> String? {
        guard path.hasPrefix("/") else { return "\(path) is no absolute path" }
        guard let resolved = realpath(path, nil) else { return "\(path): \(Errno.message(Errno.current.code))" }
        defer { free(resolved) }
        let target = String(cString: resolved)
        var status = stat()
        guard stat(target, &status) == 0 else { return "\(path): \(Errno.message(Errno.current.code))" }
        guard status.st_mode & S_IFMT == S_IFREG else { return "\(target) is no regular file" }
        // The written path too: a directory with a link in it could be changed to lead elsewhere.
        for place in Set(prefixes(target) + prefixes(path)).sorted() {
            guard lstat(place, &status) == 0 else { return "\(place): \(Errno.message(Errno.current.code))" }
            if status.st_uid != 0 { return "\(place) belongs to user \(status.st_uid), not to root" }
            // Everybody may write to a link, and nobody can.
            if status.st_mode & S_IFMT != S_IFLNK, status.st_mode & 0o022 != 0 { return "\(place) can be changed by others than root" }
        }
        return nil
    }

    private static func prefixes(_ path: String) -> [String] {
        var result = ["/"]
        var prefix = ""
        for part in path.split(separator: "/") {
            prefix += "/" + part
            result.append(prefix)
        }
        return result
    }
}
