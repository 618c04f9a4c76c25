import CLinux
import Glibc
import Synchronization

/// Programs that tests run: `nft`, `ip`, Python. They inherit the network namespace of the thread that starts them.
enum Command {
    struct Result: Sendable {
        let status: CInt
        let output: String
    }
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Starts a program found on PATH; its output goes to `output`, or where the test's own goes.
    static func start(_ arguments: [String], output: CInt = -1) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if output >= 0 {
            posix_spawn_file_actions_adddup2(&actions, output, 1)
            posix_spawn_file_actions_adddup2(&actions, output, 2)
        }
        var pid = pid_t()
        var raw: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { raw.forEach { free($0) } }
        let result = posix_spawnp(&pid, arguments[0], &actions, nil, &raw, environ)
        guard result == 0 else { throw Failure(description: "\(arguments[0]): error \(result)") }
        return pid
    }

    @discardableResult
    static func reap(_ pid: pid_t) -> CInt {
        var status: CInt = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
    }

    /// Runs to the end without holding the calling thread: the control loop goes on meanwhile.
    static func run(_ arguments: [String]) async throws -> Result {
        var ends: [CInt] = [0, 0]
        guard clinux_pipe2(&ends, O_CLOEXEC) == 0 else { throw Failure(description: "pipe: \(errno)") }
        let (reading, writing) = (ends[0], ends[1])
        let pid: pid_t
        do { pid = try start(arguments, output: writing) } catch {
            close(reading)
            close(writing)
            throw error
        }
        close(writing)
        return await withCheckedContinuation { continuation in
            onThread {
                var bytes: [UInt8] = []
                var chunk = [UInt8](repeating: 0, count: 65536)
                while true {
                    let count = read(reading, &chunk, chunk.count)
                    if count <= 0 { break }
                    bytes += chunk[..<count]
                }
                close(reading)
                continuation.resume(returning: Result(status: reap(pid), output: String(decoding: bytes, as: UTF8.self)))
            }
        }
    }

    /// A thread of its own for a call that blocks.
    static func onThread(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Box(body)).toOpaque()
        var thread = pthread_t()
        let result = pthread_create(&thread, nil, { raw in
            Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().body()
            return nil
        }, box)
        precondition(result == 0)
        pthread_detach(thread)
    }
    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}
