import Glibc
import Platform
import YAML

/// Reads configuration files, bounded.
package enum TextFile {
    /// Far more than a person writes.
    package static let limit = 1 << 20

    package static func read(_ path: String) throws(ConfigurationErrors) -> String {
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard fd >= 0 else { throw failure(path, remedy(Errno.current)) }
        let file = OwnedFD(consuming: fd)
        var status = stat()
        guard fstat(file.raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw failure(path, "is not a regular file") }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(file.raw, &buffer, buffer.count)
            if count < 0 {
                let error = Errno.current
                if error.code == EINTR { continue }
                throw failure(path, "cannot be read: \(error)")
            }
            if count == 0 { break }
            bytes += buffer[..<count]
            if bytes.count > limit { throw failure(path, "is larger than \(SizeText.format(limit)); split it") }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw failure(path, "is not UTF-8 text") }
        return text
    }

    /// The YAML files of a directory by name, full paths; hidden files and others are passed over. A directory that does not exist is empty.
    package static func list(directory: String) throws(ConfigurationErrors) -> [String] {
        guard let handle = opendir(directory) else {
            let error = Errno.current
            if error.code == ENOENT { return [] }
            throw failure(directory, remedy(error))
        }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix("."), name.hasSuffix(".yaml") || name.hasSuffix(".yml") { names.append(name) }
        }
        return names.sorted().map { "\(directory)/\($0)" }
    }

    private static func remedy(_ error: Errno) -> String {
        switch error.code {
        case ENOENT: "does not exist; create it or name another with --config"
        case EACCES: "may not be read by this user; it must be readable for root"
        default: "cannot be opened: \(error)"
        }
    }

    private static func failure(_ path: String, _ message: String) -> ConfigurationErrors {
        ConfigurationErrors([Diagnostic(path: path, mark: .start, message: "the file \(message)")])
    }
}
