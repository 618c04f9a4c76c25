import Glibc
import Platform
import Reactor

/// A program that the agent started, with the end of what it prints.
@Control
final class ChildProcess {
    private let pid: pid_t
    private let outputBytes: Int
    private let ended: @Control (CInt, String) -> Void
    /// This end of what it prints to; nil once the program is gone.
    private var output: OwnedFD?
    private let raw: CInt
    private var watch: WatchID?
    /// Tells of the program's end; nil once it is gone.
    private var handle: OwnedFD?
    private var end: WatchID?
    private var tail: [UInt8] = []
    private var isKilled = false

    /// - Parameters:
    ///   - arguments: the program's absolute path first. It reads nothing, and has the environment's `PATH` only.
    ///   - ended: called once with the exit status (128 and the signal's number for one that was killed) and the end of the output.
    init(_ arguments: [String], outputBytes: Int, ended: @escaping @Control (CInt, String) -> Void) throws(Errno) {
        self.outputBytes = outputBytes
        self.ended = ended
        var ends: [CInt] = [-1, -1]
        _ = try systemCall { socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends) }
        let here = OwnedFD(consuming: ends[0])
        let there = OwnedFD(consuming: ends[1])
        // The program's own end blocks, as programs expect.
        _ = fcntl(there.raw, F_SETFL, 0)
        pid = try Self.spawn(arguments, output: there.raw)
        raw = here.raw
        output = consume here
        do throws(Errno) {
            let handle = try ProcessHandle.open(pid)
            end = try ControlLoop.shared.watch(handle.raw, .read) { [self] _ in reap() }
            self.handle = consume handle
        } catch {
            // Nobody would hear of its end.
            _ = Glibc.kill(pid, SIGKILL)
            _ = waitpid(pid, nil, 0)
            throw error
        }
        watch = try? ControlLoop.shared.watch(raw, .read) { [self] _ in if !read() { unwatch() } }
    }

    /// Ends the program, and tells nobody.
    func kill() {
        guard !isKilled else { return }
        isKilled = true
        _ = Glibc.kill(pid, SIGKILL)
    }

    /// Takes what is there, at most `chunks` of 4 KiB, since a program can print for ever; false when nothing more can come.
    @discardableResult
    private func read(chunks: Int = 16) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            for _ in 0..<chunks {
                switch Socket.read(raw, buffer) {
                case .bytes(let count):
                    tail += buffer[..<count]
                    if tail.count > outputBytes { tail.removeFirst(tail.count - outputBytes) }
                case .wouldBlock: return true
                case .endOfStream, .failed: return false
                }
            }
            return true
        }
    }

    private func unwatch() {
        if let watch { ControlLoop.shared.unwatch(watch) }
        watch = nil
    }

    private func reap() {
        var status: CInt = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return }
        if let end { ControlLoop.shared.unwatch(end) }
        end = nil
        handle = nil
        // What the socket still holds: its buffer is smaller than this.
        read(chunks: 128)
        unwatch()
        output = nil
        guard !isKilled else { return }
        // From here on its number may be another program's.
        isKilled = true
        ended(status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f), String(decoding: tail, as: UTF8.self))
    }

    private static func spawn(_ arguments: [String], output: CInt) throws(Errno) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What a thread of the agent blocks, and signals that the agent ignores, are nothing for the program.
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), strdup("LC_ALL=C.UTF-8"), nil]
        defer { for word in words + environment { free(word) } }
        var pid = pid_t()
        let result = posix_spawn(&pid, arguments[0], &actions, &attributes, &words, &environment)
        guard result == 0 else { throw Errno(result) }
        return pid
    }
}
