import ArgumentParser
import Glibc
import ManagementAPI

struct SystemdOptions: ParsableArguments {
    @Option(
        name: .customLong("systemd-directory"), help: ArgumentHelp("Where drop-ins are written.", valueName: "path", visibility: .hidden),
        completion: .directory)
    var directory = UnitFiles.systemDirectory
}

/// Drop-ins of units. Files that Weft did not write are never touched.
struct UnitFiles {
    static let systemDirectory = "/etc/systemd/system"
    /// The first line of every drop-in that Weft writes begins so.
    static let mark = "# Written by \"weft capture add"

    let directory: String

    func path(_ file: CaptureReport.DropIn) throws(Failure) -> String { try folder(file) + "/" + file.fileName }

    /// The agent gives the names; what could lead out of the directory is refused all the same.
    private func folder(_ file: CaptureReport.DropIn) throws(Failure) -> String {
        for name in [file.unit, file.fileName] where name.isEmpty || name.contains("/") || name.hasPrefix(".") || name.utf8.contains(0) {
            throw Failure(.failed, code: "drop_in", "\"\(name)\" cannot be a unit's file name", source: "internal")
        }
        return "\(directory)/\(file.unit).d"
    }

    /// - Returns: false when the same text was there.
    func install(_ file: CaptureReport.DropIn) throws(Failure) -> Bool {
        let folder = try folder(file)
        let path = try path(file)
        if let existing = try read(path) {
            if existing == file.text { return false }
            guard existing.hasPrefix(Self.mark) else {
                throw Failure(.failed, code: "drop_in", "\(path) exists and was not written by Weft", remedy: "move it away and try again")
            }
        }
        guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw failure("make", folder) }
        let temporary = "\(path).\(getpid())"
        let fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard fd >= 0 else { throw failure("write", temporary) }
        let bytes = Array(file.text.utf8)
        let written = write(fd, bytes, bytes.count) == bytes.count && fchmod(fd, 0o644) == 0 && fsync(fd) == 0
        let code = errno
        close(fd)
        guard written, rename(temporary, path) == 0 else {
            let reason = written ? errno : code
            unlink(temporary)
            throw failure("write", path, reason)
        }
        return true
    }

    /// - Returns: false when there was nothing of ours.
    func remove(_ file: CaptureReport.DropIn) throws(Failure) -> Bool {
        let path = try path(file)
        guard let existing = try read(path), existing.hasPrefix(Self.mark) else { return false }
        guard unlink(path) == 0 else { throw failure("remove", path) }
        // The folder stays when it has files of others.
        rmdir(try folder(file))
        return true
    }

    private func read(_ path: String) throws(Failure) -> String? {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("read", path)
        }
        defer { close(fd) }
        // A drop-in of ours is far smaller; of a larger one the beginning is enough to see that it is not.
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = Glibc.read(fd, &buffer, buffer.count)
        guard count >= 0 else { throw failure("read", path) }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    private func failure(_ action: String, _ path: String, _ code: CInt = errno) -> Failure {
        let denied = code == EACCES || code == EPERM
        return Failure(
            denied ? .permission : .failed, code: "drop_in", "cannot \(action) \(path): \(String(cString: strerror(code)))",
            remedy: denied ? "use sudo, or --no-drop-in and install the drop-in by other means" : "", source: "kernel")
    }
}
