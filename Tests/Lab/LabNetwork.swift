import Glibc
import Synchronization

/// Hosts made of network namespaces on one bridge, IPv4 and IPv6, with a DNS server beside them that knows nothing of the mesh.
///
/// The bridge is in a namespace of its own: the machine's network is never touched. Names carry this process's id, and what an earlier run that was killed
/// has left is removed first. `remove` takes everything away; the end of the process does it too.
final class LabNetwork: @unchecked Sendable {
    let root: String
    let prefix: String
    /// The cgroup directory of all hosts, and its path below the cgroup mount.
    let cgroups: String
    private(set) var hosts: [LabHost] = []
    private var programs: [Program] = []
    private static let count = Atomic<Int>(0)
    private static let live = Mutex<[ObjectIdentifier: LabNetwork]>([:])

    static let nameserver = "10.96.0.53"

    init() throws {
        guard getuid() == 0 else { throw LabFailure("the lab needs root, and CI=true asks for it") }
        Self.once
        prefix = "weft-lab-\(getpid())-\(Self.count.add(1, ordering: .relaxed).newValue)"
        var template = Array("/tmp/\(prefix)-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw LabFailure("no directory in /tmp: \(String(cString: strerror(errno)))") }
        root = String(cString: made)
        cgroups = try Self.cgroupMount() + "/" + prefix
        Self.live.withLock { $0[ObjectIdentifier(self)] = self }
        mkdir(cgroups, 0o755)
        try Files.write("\(root)/resolv.conf", "nameserver \(Self.nameserver)\noptions timeout:1 attempts:2\n")
        try Files.write("\(root)/nsswitch.conf", "hosts: files dns\n")
        try Files.write("\(root)/on", Self.on(root: root, cgroups: cgroups, prefix: prefix))
        chmod("\(root)/on", 0o755)
        try run("ip", "netns", "add", "\(prefix)-net")
        try bridge(
            "ip link add bridge type bridge mcast_snooping 0; ip link set bridge up; ip link set lo up;"
                + "ip addr add \(Self.nameserver)/24 dev bridge; ip -6 addr add fd96::53/64 dev bridge nodad")
        let dns = try startOnBridge([python, "-IBS", program("dns.py"), Self.nameserver])
        try dns.says("ready")
    }

    /// Runs a test with a network of its own, and takes it away whatever happens.
    static func with<Result>(_ body: (LabNetwork) throws -> Result) throws -> Result {
        let network = try LabNetwork()
        defer { network.remove() }
        do { return try body(network) } catch {
            for host in network.hosts { print("--- the end of weftd's log on \(host.name) ---\n\(host.agentLog.suffix(4000))") }
            throw error
        }
    }

    /// A path of `Tests/Lab/Programs`.
    func program(_ name: String) -> String { Self.directory + "/Programs/" + name }
    private static let directory = String(#filePath.dropLast("/LabNetwork.swift".count))
    let python = "/usr/bin/python3"

    // MARK: Building

    func host(_ name: String, workloads: [String] = [], extra: String = "", capture: String = "") throws -> LabHost {
        let host = try LabHost(self, name, number: hosts.count + 1, workloads: workloads, extra: extra, capture: capture)
        hosts.append(host)
        return host
    }

    /// Runs a shell script in the bridge's namespace.
    @discardableResult
    func bridge(_ script: String) throws -> String { try run("nsenter", "--net=/run/netns/\(prefix)-net", "sh", "-ec", script) }

    func startOnBridge(_ arguments: [String]) throws -> Program {
        try start(["\(root)/on", "net", "-"] + arguments)
    }

    func start(_ arguments: [String], input: String? = nil, log: String? = nil) throws -> Program {
        let program = try Program(arguments, input: input, log: log ?? "\(root)/program-\(Self.count.add(1, ordering: .relaxed).newValue)")
        programs.append(program)
        return program
    }

    @discardableResult
    func run(_ arguments: String...) throws -> String {
        let result = try start(arguments).wait()
        guard result.succeeded else { throw LabFailure("\(arguments.joined(separator: " ")): status \(result.status): \(result.out)\(result.errors)") }
        return result.out
    }

    /// Listens to everything between the hosts.
    func sniff() throws -> Sniffer { try Sniffer(self) }

    func unplug(_ host: LabHost) throws { try bridge("ip link set port-\(host.name) down") }
    func plug(_ host: LabHost) throws { try bridge("ip link set port-\(host.name) up") }

    // MARK: Taking away

    func remove() {
        guard Self.live.withLock({ $0.removeValue(forKey: ObjectIdentifier(self)) }) != nil else { return }
        Self.kill(cgroup: cgroups)
        for program in programs { program.end() }
        Self.removeNamespaces { $0.hasPrefix(prefix + "-") }
        Self.removeTree(root)
    }

    /// At the first use: what a killed run has left goes; at exit: what this one has.
    private static let once: Void = {
        removeLeftovers()
        atexit { for network in LabNetwork.live.withLock({ Array($0.values) }) { network.remove() } }
    }()

    private static func removeLeftovers() {
        func isStale(_ name: String) -> Bool {
            guard name.hasPrefix("weft-lab-"), let pid = pid_t(name.dropFirst("weft-lab-".count).prefix { $0.isNumber }) else { return false }
            return Glibc.kill(pid, 0) != 0 && errno == ESRCH
        }
        guard let mount = try? cgroupMount() else { return }
        for name in Files.names(in: mount) where isStale(name) { kill(cgroup: "\(mount)/\(name)") }
        removeNamespaces(where: isStale)
        for name in Files.names(in: "/tmp") where isStale(name) { removeTree("/tmp/\(name)") }
    }

    private static func removeNamespaces(where matches: (String) -> Bool) {
        for name in Files.names(in: "/run/netns") where matches(name) { _ = try? Program(["ip", "netns", "del", name], log: "/dev/shm/weft-lab-\(getpid())").wait() }
        for ending in ["out", "err"] { unlink("/dev/shm/weft-lab-\(getpid()).\(ending)") }
    }

    private static func removeTree(_ path: String) {
        guard path.hasPrefix("/tmp/weft-lab-") else { return }
        var pid = pid_t()
        let arguments = ["rm", "-rf", path]
        var raw: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { raw.forEach { free($0) } }
        if posix_spawnp(&pid, "rm", nil, nil, &raw, environ) == 0 { waitpid(pid, nil, 0) }
    }

    /// Kills what runs in a cgroup and below, and removes it.
    static func kill(cgroup path: String, remove: Bool = true) {
        for child in Files.names(in: path) where isDirectory("\(path)/\(child)") { kill(cgroup: "\(path)/\(child)", remove: remove) }
        for _ in 0..<500 {
            let members = Files.read("\(path)/cgroup.procs").split(separator: "\n").compactMap { pid_t($0) }.filter { $0 > 0 }
            if members.isEmpty, !remove || rmdir(path) == 0 || errno == ENOENT { return }
            for member in members { Glibc.kill(member, SIGKILL) }
            usleep(5_000)
        }
    }

    private static func isDirectory(_ path: String) -> Bool {
        var information = stat()
        return lstat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
    }

    static func cgroupMount() throws -> String {
        for line in Files.read("/proc/mounts").split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count > 2, fields[2] == "cgroup2" { return String(fields[1]) }
        }
        throw LabFailure("cgroup v2 is not mounted")
    }

    /// `on HOST WORKLOAD PROGRAM…`; `-` is no workload. (`ip netns exec` would mount a /sys without cgroups.)
    private static func on(root: String, cgroups: String, prefix: String) -> String {
        """
        #!/bin/sh
        set -e
        host=$1; workload=$2; shift 2
        [ "$workload" = - ] && workload=other
        mkdir -p \(cgroups)/$host/$workload
        # The network first: a process of another namespace in a captured cgroup would make the agent refuse the cgroup.
        exec nsenter --net=/run/netns/\(prefix)-$host unshare --mount --propagation private sh -c '
            mount --bind \(root)/resolv.conf /etc/resolv.conf; mount --bind \(root)/nsswitch.conf /etc/nsswitch.conf
            procs=$1; shift; echo $$ > "$procs"; exec "$@"' sh \(cgroups)/$host/$workload/cgroup.procs "$@"

        """
    }
}

/// tcpdump on the bridge.
final class Sniffer {
    private let program: Program
    private let path: String

    init(_ network: LabNetwork) throws {
        path = "\(network.root)/bridge-\(Int(Clock.now * 1000)).pcap"
        program = try network.start(["nsenter", "--net=/run/netns/\(network.prefix)-net", "tcpdump", "-i", "bridge", "-w", path, "-U", "-s", "0", "-n", "--immediate-mode", "-Z", "root"])
        try Clock.until("tcpdump listens") { program.errors.contains("listening on") }
    }

    /// Stops, and returns all bytes that went by.
    func stop() throws -> Packets {
        usleep(200_000)
        program.signal(SIGINT)
        try program.wait()
        return try Packets(path)
    }
}

/// What a capture holds.
struct Packets {
    let bytes: [UInt8]
    /// The lower port of each TCP packet: those of clients are above 32767.
    private(set) var tcpPorts: [UInt16: Int] = [:]
    private(set) var udpPorts: [UInt16: Int] = [:]
    private(set) var count = 0

    init(_ path: String) throws {
        guard let file = fopen(path, "r") else { throw LabFailure("no capture \(path)") }
        defer { fclose(file) }
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { break }
            all += chunk[..<count]
        }
        bytes = all
        var offset = 24
        while offset + 16 <= all.count {
            let length = Int(all[offset + 8]) | Int(all[offset + 9]) << 8 | Int(all[offset + 10]) << 16
            frame(offset + 16, min(length, all.count - offset - 16))
            offset += 16 + length
        }
    }

    private mutating func frame(_ start: Int, _ length: Int) {
        count += 1
        guard length > 60 else { return }
        let kind = UInt16(bytes[start + 12]) << 8 | UInt16(bytes[start + 13])
        let (next, transport): (UInt8, Int)
        switch kind {
        case 0x0800: (next, transport) = (bytes[start + 23], start + 14 + Int(bytes[start + 14] & 15) * 4)
        case 0x86dd: (next, transport) = (bytes[start + 20], start + 54)
        default: return
        }
        let port = min(UInt16(bytes[transport]) << 8 | UInt16(bytes[transport + 1]), UInt16(bytes[transport + 2]) << 8 | UInt16(bytes[transport + 3]))
        if next == 6 { tcpPorts[port, default: 0] += 1 } else if next == 17 { udpPorts[port, default: 0] += 1 }
    }

    func contains(_ text: String) -> Bool {
        let wanted = Array(text.utf8)
        return bytes.withUnsafeBytes { all in
            var rest = all[...]
            while rest.count >= wanted.count, let found = memchr(rest.base.baseAddress! + rest.startIndex, CInt(wanted[0]), rest.count) {
                let index = UnsafeRawPointer(found) - all.baseAddress!
                if index + wanted.count <= all.count, memcmp(found, wanted, wanted.count) == 0 { return true }
                rest = all[(index + 1)...]
            }
            return false
        }
    }
}
