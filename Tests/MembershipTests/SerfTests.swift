import Glibc
import Logging
import MeshModel
import Platform
import Reactor
import Synchronization
import Testing

@testable import Membership
@testable import SWIM

/// One pool with a real Serf agent (Debian package `serf`): each sees the other join, leave, fail and return.
@Suite(.enabled(if: SerfAgent.isInstalled || getenv("CI") != nil, "the program serf is not installed (apt install serf)"))
struct SerfTests {
    @Test(arguments: [false, true])
    func aSerfAgentAndWeftSeeEachOtherJoinLeaveFailAndReturn(_ isEncrypted: Bool) async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let key = [UInt8](0..<32)
            let keyText = isEncrypted ? "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" : nil
            let ours = try await pool.start("weft-a", 1, ["role": "mesh", "version": "1"], keys: isEncrypted ? [key] : [])
            let agent = try SerfAgent("serf-x", pool.address(2), tags: ["role=db"], key: keyText)
            defer { agent.kill() }
            try #require(await eventually { agent.members() != nil }, "the agent did not start")

            // We join it; both lists are whole, with tags.
            #expect(await ours.join([agent.address]).contacted == 1)
            #expect(await eventually { await ours.live == ["serf-x", "weft-a"] })
            #expect(await ours.members().first { $0.name == "serf-x" }?.tags["role"] == "db")
            #expect(await eventually { agent.members()?["weft-a"] == "alive role=mesh,version=1" })

            // Our tags change in its list, its own in ours.
            try await ours.setMeta(["role": "mesh", "version": "2"])
            #expect(await eventually { agent.members()?["weft-a"] == "alive role=mesh,version=2" })
            agent.run("tags", "-set", "role=cache")
            #expect(await eventually { await ours.members().first { $0.name == "serf-x" }?.tags["role"] == "cache" })

            // A second one of ours leaves: left, not failed, in its list.
            let second = try await pool.start("weft-b", 3, keys: isEncrypted ? [key] : [])
            #expect(await second.join([ours.configuration.bind]).contacted == 1)
            #expect(await eventually { agent.members()?["weft-b"]?.hasPrefix("alive") == true })

            // A false leave about us is contradicted. (An agent that knows nobody else would not even tell us of it.)
            #expect(agent.run("force-leave", "weft-a").status == 0)
            #expect(await eventually { await ours.counters.core.refutations == 1 })
            #expect(await eventually { agent.members()?["weft-a"] == "alive role=mesh,version=2" })

            await second.leave()
            #expect(await eventually { agent.members()?["weft-b"]?.hasPrefix("left") == true })

            // It is killed: dead in ours; started again: alive in both.
            agent.kill()
            #expect(await eventually(within: .seconds(15)) { await ours.state("serf-x") == .dead })
            let again = try SerfAgent("serf-x", pool.address(2), tags: ["role=db"], key: keyText)
            defer { again.kill() }
            try #require(await eventually { again.members() != nil }, "the agent did not start")
            #expect(again.run("join", ours.configuration.bind.description).text.contains("Successfully"))
            #expect(await eventually { await ours.state("serf-x") == .alive })
            #expect(await eventually { again.members()?["weft-a"]?.hasPrefix("alive") == true })

            // It leaves: gone in ours.
            #expect(again.run("leave").status == 0)
            #expect(await eventually { await ours.state("serf-x") == .left })
            #expect(
                await pool.kinds("weft-a", about: "serf-x").filter { $0 != .updated && $0 != .recovered }
                    == [.joined, .suspected, .died, .joined, .left])
            #expect(await ours.counters.core.refusedTotal == ours.counters.core[.unsupported])
        }
    }

    @Test func aSerfAgentSeesUsFailAndReturn() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let agent = try SerfAgent("serf-x", pool.address(2), tags: [], key: nil)
            defer { agent.kill() }
            try #require(await eventually { agent.members() != nil }, "the agent did not start")
            let ours = try await pool.start("weft-a", 1)
            #expect(await ours.join([agent.address]).contacted == 1)
            #expect(await eventually { agent.members()?["weft-a"]?.hasPrefix("alive") == true })
            await ours.stop()
            #expect(await eventually(within: .seconds(15)) { agent.members()?["weft-a"]?.hasPrefix("failed") == true })
            let again = try await pool.start("weft-a", 1)
            #expect(await again.join([agent.address]).contacted == 1)
            #expect(await eventually { agent.members()?["weft-a"]?.hasPrefix("alive") == true })
        }
    }
}

/// A `serf agent` process of the test, with the fast profile.
final class SerfAgent: Sendable {
    static let program = "/usr/bin/serf"
    static var isInstalled: Bool { access(program, X_OK) == 0 }

    let address: SocketAddress
    private let rpc: String
    private let pid: pid_t
    private let isRunning = Mutex(true)

    init(_ name: String, _ address: SocketAddress, tags: [String], key: String?) throws(Errno) {
        self.address = address
        rpc = "127.0.2.1:\(address.port)"
        var arguments = ["agent", "-node=\(name)", "-bind=\(address)", "-rpc-addr=\(rpc)", "-profile=local", "-log-level=err"]
        for tag in tags { arguments += ["-tag", tag] }
        if let key { arguments.append("-encrypt=\(key)") }
        pid = try Self.spawn(arguments, output: nil)
    }

    /// At once; a second call does nothing.
    func kill() {
        isRunning.withLock { isRunning in
            guard isRunning else { return }
            isRunning = false
            Glibc.kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
    }

    /// `state tags` by name; nil while the agent does not answer.
    func members() -> [String: String]? {
        let (status, text) = run("members")
        guard status == 0 else { return nil }
        var members: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count >= 3 else { continue }
            let tags = words.count > 3 ? " " + words[3].split(separator: ",").sorted().joined(separator: ",") : ""
            members[String(words[0])] = words[2] + tags
        }
        return members
    }

    /// A command against this agent.
    @discardableResult
    func run(_ command: String, _ arguments: String...) -> (status: CInt, text: String) {
        var pipe: [CInt] = [0, 0]
        guard Glibc.pipe(&pipe) == 0 else { return (-1, "") }
        let reading = OwnedFD(consuming: pipe[0])
        let child = try? Self.spawn([command, "-rpc-addr=\(rpc)"] + arguments, output: pipe[1])
        close(pipe[1])
        guard let child else { return (-1, "") }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(reading.raw, &buffer, buffer.count)
            if count <= 0 { break }
            text += buffer[..<count]
        }
        var status: CInt = 0
        waitpid(child, &status, 0)
        return (status, String(decoding: text, as: UTF8.self))
    }

    private static func spawn(_ arguments: [String], output: CInt?) throws(Errno) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output, 1)
        } else {
            posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_RDWR, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, program, &actions, nil, &words, environ)
        guard result == 0 else { throw Errno(result) }
        return pid
    }
}
