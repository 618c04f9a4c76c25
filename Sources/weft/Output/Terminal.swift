import Glibc

/// Standard output and error.
enum Terminal {
    static func out(_ text: String) { write(text, to: STDOUT_FILENO) }
    static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Colour only for people who look: a terminal, and NO_COLOR (no-color.org) not set.
    static let hasColour: Bool = {
        guard isatty(STDOUT_FILENO) == 1, getenv("NO_COLOR") == nil else { return false }
        return getenv("TERM").map { String(cString: $0) != "dumb" } ?? false
    }()

    /// A reader that has gone (`weft members | head -1`) ends the program without a complaint.
    private static func write(_ text: String, to fd: CInt) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
            if count > 0 { bytes = bytes.dropFirst(count) } else if errno != EINTR { exit(fd == STDOUT_FILENO && errno == EPIPE ? 0 : 1) }
        }
    }
}
