import Glibc

enum InputError: Error {
    case errno(CInt)
    case tooLong
}

/// A file or standard input, whole.
enum InputText {
    /// - Parameter path: `-` is standard input.
    static func read(_ path: String, maximum: Int) throws(InputError) -> String {
        let fd = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw .errno(errno) }
        defer { if path != "-" { close(fd) } }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count <= maximum {
            let count = Glibc.read(fd, &buffer, buffer.count)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            if count > 0 { bytes += buffer[..<count] } else if errno != EINTR { throw .errno(errno) }
        }
        throw .tooLong
    }
}
