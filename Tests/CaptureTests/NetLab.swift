import CLinux
import Glibc
import Logging
import MeshModel
import Platform
import Reactor
import Testing

@testable import Capture

/// Tests that load rules: one at a time, since they move the control thread into network namespaces of their own.
///
/// Without root they are skipped; with `CI=true` they run, and so fail.
@Suite("In the kernel", .serialized, .enabled(if: getuid() == 0 || getenv("CI").map { String(cString: $0) } == "true", "needs root"))
enum KernelTests {}

/// Two hosts: the control thread's network namespace, and a far one behind a veth pair with servers on ports 22, 8080 and 8081 and a DNS port.
///
/// Near is 10.77.0.1 and fd07::1, far 10.77.0.2 and fd07::2, also the default gateway. Both go with the object.
@Control
final class NetLab {
    let cgroup: TestCgroup
    private let path: String
    private var processes: [pid_t] = []
    private let farHolder: pid_t

    /// Leaves the control thread in a fresh namespace; the earlier one goes when nothing uses it.
    /// - Parameter servers: whether far serves anything.
    init(servers: Bool = true) async throws {
        guard clinux_unshare(0x4000_0000 /* CLONE_NEWNET */) == 0 else { throw Command.Failure(description: "unshare: \(Errno.current)") }
        path = "/proc/\(getpid())/task/\(clinux_gettid())/ns/net"
        cgroup = try TestCgroup()
        farHolder = try Command.start(["unshare", "-n", "sleep", "600"])
        processes.append(farHolder)
        let own = NetworkNamespaceCheck.own()
        while Self.namespace(farHolder) == own { await ControlLoop.shared.sleep(.milliseconds(1)) }
        try await near(
            "ip link set lo up; ip link add near type veth peer name far netns \(farHolder); ip addr add 10.77.0.1/24 dev near;"
                + "ip -6 addr add fd07::1/64 dev near nodad; ip link set near up")
        try await far("ip link set lo up; ip addr add 10.77.0.2/24 dev far; ip -6 addr add fd07::2/64 dev far nodad; ip link set far up")
        try await near("ip route add default via 10.77.0.2; ip -6 route add default via fd07::2")
        guard servers else { return }
        let ready = "/tmp/weft-test-\(getpid())-\(farHolder)"
        processes.append(try Command.start(["nsenter", "--net=/proc/\(farHolder)/ns/net", "/usr/bin/python3", "-IS", "-c", Self.server, ready]))
        for _ in 0..<1000 where access(ready, F_OK) != 0 { await ControlLoop.shared.sleep(.milliseconds(5)) }
        unlink(ready)
    }

    deinit {
        for pid in processes {
            kill(pid, SIGKILL)
            Command.reap(pid)
        }
    }

    private static func namespace(_ pid: pid_t) -> String {
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = buffer.withUnsafeMutableBytes { readlink("/proc/\(pid)/ns/net", $0.baseAddress!.assumingMemoryBound(to: CChar.self), 64) }
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }

    @discardableResult
    func near(_ script: String) async throws -> String { try await run("--net=\(path)", script) }
    @discardableResult
    func far(_ script: String) async throws -> String { try await run("--net=/proc/\(farHolder)/ns/net", script) }

    private func run(_ namespace: String, _ script: String) async throws -> String {
        let result = try await Command.run(["nsenter", namespace, "sh", "-ec", script])
        guard result.status == 0 else { throw Command.Failure(description: "\(script): \(result.output)") }
        return result.output
    }

    /// What connections from near get, one answer for each target `tcp,host,port` or `udp,host,port`: the server's line, or the error's name.
    func calls(in relative: String? = nil, _ targets: String...) async throws -> [String] {
        try await calls(namespace: path, relative, targets)
    }
    func calls(in relative: String? = nil, _ targets: [String]) async throws -> [String] {
        try await calls(namespace: path, relative, targets)
    }
    /// What a connection gets that carries a packet mark, as the agent's own do.
    func markedCall(in relative: String? = nil, _ mark: UInt32, _ host: String, _ port: Int) async throws -> String {
        let enter = relative.map { "echo $$ > \(cgroup.full($0))/cgroup.procs; " } ?? ""
        let call = "import socket; s = socket.socket(); s.setsockopt(1, 36, \(mark)); s.connect((\"\(host)\", \(port))); print(s.recv(99).decode())"
        return try await near("\(enter)exec /usr/bin/python3 -IS -c '\(call)'")
    }
    func callsFromFar(_ targets: String...) async throws -> [String] {
        try await calls(namespace: "/proc/\(farHolder)/ns/net", nil, targets)
    }

    private func calls(namespace: String, _ relative: String?, _ targets: [String]) async throws -> [String] {
        let enter = relative.map { "echo $$ > \(cgroup.full($0))/cgroup.procs; " } ?? ""
        let result = try await Command.run(
            ["nsenter", "--net=\(namespace)", "sh", "-c", "\(enter)exec /usr/bin/python3 -IS -c \"$0\" \"$@\"", Self.client] + targets)
        return result.output.split(separator: "\n").map(String.init)
    }

    /// Starts a program in near; it is killed with the lab.
    @discardableResult
    func start(in relative: String? = nil, _ arguments: String...) throws -> pid_t {
        let enter = relative.map { "echo $$ > \(cgroup.full($0))/cgroup.procs; " } ?? ""
        let pid = try Command.start(["nsenter", "--net=\(path)", "sh", "-c", "\(enter)exec \"$0\" \"$@\""] + arguments)
        processes.append(pid)
        return pid
    }

    /// The whole ruleset as JSON, without counters and handles.
    func ruleset() async throws -> String {
        try await near("nft -j list ruleset | /usr/bin/python3 -IS -c '\(Self.normalise)'")
    }

    private static let client = """
        import socket, sys, errno
        for target in sys.argv[1:]:
            kind, host, port = target.split(",")
            s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
            s.settimeout(2)
            try:
                s.connect((host, int(port)))
                if kind == "udp": s.send(b"q")
                print(s.recv(200).decode().strip() or "closed")
            except TimeoutError: print("timeout")
            except OSError as e: print(errno.errorcode.get(e.errno, str(e)))
        """

    private static let server = """
        import socket, sys, threading
        def tcp(family, port):
            s = socket.socket(family); s.setsockopt(1, 2, 1)
            if family == socket.AF_INET6: s.setsockopt(41, 26, 1)
            s.bind(("", port)); s.listen()
            def serve():
                while True:
                    c, a = s.accept()
                    c.sendall(("direct " + a[0]).encode()); c.close()
            threading.Thread(target=serve).start()
        def udp(family):
            s = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6: s.setsockopt(41, 26, 1)
            s.bind(("", 53))
            def serve():
                while True:
                    d, a = s.recvfrom(100); s.sendto(b"direct dns", a)
            threading.Thread(target=serve).start()
        for f in (socket.AF_INET, socket.AF_INET6):
            for p in (22, 8080, 8081): tcp(f, p)
            udp(f)
        open(sys.argv[1], "w").close()
        """

    private static let normalise = """
        import json, sys
        def clean(x):
            if isinstance(x, dict): return {k: clean(v) for k, v in x.items() if k != "handle"}
            return [clean(i) for i in x] if isinstance(x, list) else x
        for item in json.load(sys.stdin)["nftables"]:
            if "metainfo" not in item: print(json.dumps(clean(item), sort_keys=True))
        """
}
