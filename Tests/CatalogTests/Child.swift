import Glibc
import Platform
import Testing

/// A program that runs beside the test; it is killed when this goes away.
final class Child: @unchecked Sendable {  // used by one test at a time
    private let pid: pid_t
    private let output: OwnedFD

    init(_ arguments: [String]) throws {
        var ends: [CInt] = [-1, -1]
        // Close-on-exec from the start: another test's child must not hold this one's end open.
        _ = try systemCall { socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) }
        output = OwnedFD(consuming: ends[0])
        let writeEnd = OwnedFD(consuming: ends[1])
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, writeEnd.raw, 1)
        var pid = pid_t()
        let texts = arguments.map { strdup($0) }
        defer { for text in texts { free(text) } }
        let result = posix_spawnp(&pid, arguments[0], &actions, nil, texts + [nil], environ)
        self.pid = pid
        if result != 0 { throw Errno(result) }
    }

    deinit {
        _ = kill(pid, SIGKILL)
        _ = waitpid(pid, nil, 0)
    }

    /// The next line it writes, or what is left at its end.
    func line() -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(output.raw, &byte, 1) == 1, byte != 10 { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
