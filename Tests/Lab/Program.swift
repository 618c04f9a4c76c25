import Glibc
import Synchronization

/// A program that a test runs. Only those are ever signalled that were started here, by their process id.
final class Program: Sendable {
    struct Output: Sendable {
        /// The exit status, or 128 + the signal.
        let status: CInt
        let out: String
        let errors: String
        var succeeded: Bool { status == 0 }
    }

    let pid: pid_t
    private let outPath: String
    private let errorPath: String
    private let exitStatus = Mutex<CInt?>(nil)
    private let command: String

    /// Starts it with its output in two files named after `log`.
    init(_ arguments: [String], input: String? = nil, log: String) throws {
        outPath = log + ".out"
        errorPath = log + ".err"
        command = arguments.joined(separator: " ")
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var inputPath = "/dev/null"
        if let input {
            inputPath = log + ".in"
            try Files.write(inputPath, input)
        }
        posix_spawn_file_actions_addopen(&actions, 0, inputPath, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // The test program ignores or blocks signals as it likes; what it starts begins afresh.
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var raw: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { raw.forEach { free($0) } }
        var started = pid_t()
        let result = posix_spawnp(&started, arguments[0], &actions, &attributes, &raw, environ)
        guard result == 0 else { throw LabFailure("\(arguments[0]) cannot be started: \(String(cString: strerror(result)))") }
        pid = started
    }

    /// The exit status once it has ended.
    var status: CInt? {
        exitStatus.withLock { known in
            if let known { return known }
            var raw: CInt = 0
            guard waitpid(pid, &raw, WNOHANG) == pid else { return nil }
            known = raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + (raw & 0x7f)
            return known
        }
    }

    func signal(_ number: CInt) { if status == nil { kill(pid, number) } }

    /// Waits for its end; after the timeout it is killed, and that is an error.
    @discardableResult
    func wait(seconds: Double = 30) throws -> Output {
        let end = Clock.now + seconds
        while status == nil {
            if Clock.now > end {
                signal(SIGKILL)
                throw LabFailure("\(command) did not end within \(seconds) s; it said: \(out.suffix(500)) \(errors.suffix(1500))")
            }
            usleep(1000)
        }
        return Output(status: status!, out: out, errors: errors)
    }

    /// Ends it, if it runs.
    func end() {
        signal(SIGKILL)
        _ = try? wait(seconds: 10)
    }

    var out: String { Files.read(outPath) }
    var errors: String { Files.read(errorPath) }

    /// Waits until its standard output has `text`.
    func says(_ text: String, seconds: Double = 10) throws {
        try Clock.until("\(command) says \(text)", seconds: seconds) {
            if out.contains(text) { return true }
            if let status { throw LabFailure("\(command) ended with status \(status): \(out) \(errors)") }
            return false
        }
    }
}

/// CLOCK_MONOTONIC in seconds: Python's `time.monotonic()` has the same.
enum Clock {
    static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Waits until the condition holds, and returns the seconds that it took.
    @discardableResult
    static func until(_ what: String, seconds: Double = 10, _ condition: () throws -> Bool) throws -> Double {
        let start = now
        while true {
            if try condition() { return now - start }
            if now - start > seconds { throw LabFailure("not within \(seconds) s: \(what)") }
            usleep(20_000)
        }
    }
}

/// Small files, whole.
enum Files {
    static func write(_ path: String, _ text: String) throws {
        guard let file = fopen(path, "w") else { throw LabFailure("\(path): \(String(cString: strerror(errno)))") }
        fputs(text, file)
        guard fclose(file) == 0 else { throw LabFailure("\(path): \(String(cString: strerror(errno)))") }
    }

    /// Empty when there is none.
    static func read(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func names(in directory: String) -> [String] {
        guard let handle = opendir(directory) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
