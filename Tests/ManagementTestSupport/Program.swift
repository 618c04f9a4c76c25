import Glibc

/// Runs real programs. The wait is on a thread of its own: Swift's pool has few, and the server under test needs them.
package enum Program {
    package struct Result: Sendable {
        package var status: Int32
        package var output: String
        package var error: String
    }

    /// - Parameters:
    ///   - environment: besides PATH; nothing is inherited.
    ///   - input: for standard input; nil is /dev/null.
    /// - Returns: status 128 + n when a signal ended it, 127 when it could not be started.
    package static func run(_ arguments: [String], environment: [String: String] = [:], input: String? = nil) async -> Result {
        await withCheckedContinuation { continuation in
            onThread { continuation.resume(returning: runAndWait(arguments, environment, input)) }
        }
    }

    package static func onThread(_ body: @escaping @Sendable () -> Void) {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Box(body)).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, argument)
        precondition(result == 0, "no thread")
        pthread_detach(thread)
    }

    private static func runAndWait(_ arguments: [String], _ environment: [String: String], _ input: String?) -> Result {
        let files = (0..<3).map { _ in temporaryFile() }
        defer { for fd in files { close(fd) } }
        if let input {
            let bytes = Array(input.utf8)
            precondition(write(files[0], bytes, bytes.count) == bytes.count)
            lseek(files[0], 0, SEEK_SET)
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (target, fd) in files.enumerated() { posix_spawn_file_actions_adddup2(&actions, fd, Int32(target)) }

        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        var words = strings(arguments)
        var settings = strings(["PATH=\(path)"] + environment.map { "\($0)=\($1)" })
        defer { for word in words + settings { free(word) } }
        var pid = pid_t()
        guard posix_spawnp(&pid, arguments[0], &actions, nil, &words, &settings) == 0 else {
            return Result(status: 127, output: "", error: "cannot start \(arguments[0]): \(String(cString: strerror(errno)))")
        }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        let code = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        return Result(status: code, output: contents(files[1]), error: contents(files[2]))
    }

    private static func strings(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] {
        var result: [UnsafeMutablePointer<CChar>?] = []
        for text in texts { result.append(strdup(text)) }
        result.append(nil)
        return result
    }

    /// A file without a name: nothing is left behind, and no pipe can fill up.
    private static func temporaryFile() -> Int32 {
        var template = Array("/tmp/weft-test-XXXXXX".utf8CString)
        let fd = mkstemp(&template)
        precondition(fd >= 0, "no temporary file")
        _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
        unlink(template)
        return fd
    }

    private static func contents(_ fd: Int32) -> String {
        lseek(fd, 0, SEEK_SET)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(fd, &buffer, buffer.count)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }
}
