import Glibc
import Testing

/// A whole Debian under systemd in namespaces of this host, with its own empty network; `Scripts/lab-box` says how. One at a time runs in a test.
///
/// Calls block the calling thread. The box ends with `stop`, and by itself when this process dies.
final class SystemdBox {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }
    struct Output {
        let status: CInt
        let text: String
        /// Without white space at the ends.
        var trimmed: String { text.trimmed }
        var lines: [String] { text.split(separator: "\n").map(String.init) }
    }

    /// On the host; the box sees it as /srv/weft and cannot write to it.
    let share: String
    private let name: String
    private var script: pid_t
    private var input: CInt
    private var leader = ""

    /// The repository, from this file's place in it.
    static let repository = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
    /// Where `Scripts/lab-prepare` puts the packages.
    static let packages = repository + "/.build/lab/packages"
    static let rootfs = "/var/cache/weft-lab/rootfs/usr"

    /// Why no box can run here; nil when one can.
    static let obstacle: String? = {
        guard geteuid() == 0 else { return "needs root" }
        guard access(rootfs, F_OK) == 0 else { return "there is no system to boot: run Scripts/lab-rootfs" }
        guard !packageFiles().isEmpty else { return "there is no package to install: run Scripts/lab-prepare" }
        return nil
    }()

    /// Packages, the lower version first.
    static func packageFiles() -> [String] {
        guard let found = try? Process.run(["sh", "-c", "ls -v \(packages)/*.deb 2>/dev/null"]) else { return [] }
        return found.lines
    }

    init(_ name: String) throws {
        self.name = "\(name)-\(getpid())"
        var template = Array("/tmp/weft-lab-share-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure(description: "mkdtemp: \(String(cString: strerror(errno)))") }
        share = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chmod(share, 0o755)
        let (process, input, output) = try Process.start([Self.repository + "/Scripts/lab-box", self.name, share])
        (script, self.input) = (process, input)
        // One line on success; the end of the output when the box did not boot, with the reason on standard error.
        let line = Process.readLine(output)
        close(output)
        guard line.hasPrefix("leader ") else {
            stop()
            throw Failure(description: "the box did not boot")
        }
        leader = String(line.dropFirst("leader ".count))
    }

    deinit { stop() }

    func stop() {
        guard script > 0 else { return }
        close(input)
        _ = Process.wait(script)
        script = 0
        _ = try? Process.run(["rm", "-rf", share])
    }

    /// Runs a shell script in the box as root, to its end or for `timeout` seconds at most. Standard error comes with the output.
    @discardableResult
    func run(_ script: String, timeout: Int = 60) throws -> Output {
        let enter = ["nsenter", "-t", leader, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        let environment = ["env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER="]
        return try Process.run(enter + environment + ["timeout", "--kill-after=2", "\(timeout)", "bash", "-c", script])
    }

    /// As `run`; a status other than 0 is an error with all that was printed.
    @discardableResult
    func must(_ script: String, timeout: Int = 60) throws -> Output {
        let output = try run(script, timeout: timeout)
        guard output.status == 0 else { throw Failure(description: "`\(script)` ended with \(output.status): \(output.text)") }
        return output
    }

    /// Repeats the script until it succeeds.
    func wait(_ script: String, seconds: Int = 20) throws {
        try must("for _ in $(seq \(seconds * 10)); do { \(script); } >/dev/null 2>&1 && exit; sleep 0.1; done; { \(script); }; exit 1", timeout: seconds * 2 + 10)
    }

    /// Puts a file of the host where the box sees it.
    func bring(_ path: String) throws -> String {
        let file = String(path.split(separator: "/").last ?? "")
        let copied = try Process.run(["cp", path, "\(share)/\(file)"])
        guard copied.status == 0 else { throw Failure(description: copied.text) }
        return "/srv/weft/\(file)"
    }

    /// What helps to understand a failure.
    func report() -> String { (try? run("weft status 2>&1; journalctl -u weft --no-pager -n 60 -o short-precise").text) ?? "the box does not answer" }
}

extension SystemdBox {
    /// Programs of the host.
    enum Process {
        /// - Returns: its id, what it reads, what it prints. Standard error goes where the test's own does.
        static func start(_ arguments: [String]) throws -> (pid_t, input: CInt, output: CInt) {
            var (inside, outside): ([CInt], [CInt]) = ([0, 0], [0, 0])
            guard pipe(&inside) == 0, pipe(&outside) == 0 else { throw Failure(description: "pipe: \(String(cString: strerror(errno)))") }
            for fd in inside + outside { _ = fcntl(fd, F_SETFD, FD_CLOEXEC) }
            let pid = try spawn(arguments, input: inside[0], output: outside[1], error: nil)
            close(inside[0])
            close(outside[1])
            return (pid, inside[1], outside[0])
        }

        static func run(_ arguments: [String]) throws -> Output {
            var ends: [CInt] = [0, 0]
            guard pipe(&ends) == 0 else { throw Failure(description: "pipe: \(String(cString: strerror(errno)))") }
            for fd in ends { _ = fcntl(fd, F_SETFD, FD_CLOEXEC) }
            let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
            defer { close(null) }
            let pid = try spawn(arguments, input: null, output: ends[1], error: ends[1])
            close(ends[1])
            var bytes: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 65536)
            while case let count = read(ends[0], &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
            close(ends[0])
            return Output(status: wait(pid), text: String(decoding: bytes, as: UTF8.self))
        }

        private static func spawn(_ arguments: [String], input: CInt, output: CInt, error: CInt?) throws -> pid_t {
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            defer { posix_spawn_file_actions_destroy(&actions) }
            posix_spawn_file_actions_adddup2(&actions, input, 0)
            posix_spawn_file_actions_adddup2(&actions, output, 1)
            if let error { posix_spawn_file_actions_adddup2(&actions, error, 2) }
            // A thread of the test runner may block signals; a child that inherits that could not be ended.
            var attributes = posix_spawnattr_t()
            posix_spawnattr_init(&attributes)
            defer { posix_spawnattr_destroy(&attributes) }
            var none = sigset_t()
            sigemptyset(&none)
            posix_spawnattr_setsigmask(&attributes, &none)
            posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
            var pid = pid_t()
            var raw: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
            defer { raw.forEach { free($0) } }
            let result = posix_spawnp(&pid, arguments[0], &actions, &attributes, &raw, environ)
            guard result == 0 else { throw Failure(description: "\(arguments[0]): \(String(cString: strerror(result)))") }
            return pid
        }

        /// The exit status, or 128 and the signal's number.
        static func wait(_ pid: pid_t) -> CInt {
            var status: CInt = 0
            while waitpid(pid, &status, 0) < 0, errno == EINTR {}
            return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
        }

        static func readLine(_ fd: CInt) -> String {
            var bytes: [UInt8] = []
            var byte: UInt8 = 0
            while read(fd, &byte, 1) == 1, byte != 10 { bytes.append(byte) }
            return String(decoding: bytes, as: UTF8.self)
        }
    }
}

extension String {
    fileprivate var trimmed: String {
        var text = self[...]
        while let first = text.first, first.isWhitespace { text = text.dropFirst() }
        while let last = text.last, last.isWhitespace { text = text.dropLast() }
        return String(text)
    }
}
