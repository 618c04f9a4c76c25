import Glibc
import Management
import ManagementAPI
import ManagementTestSupport
import Testing

/// Real processes of other users against a real socket. Needs root, to become them.
@Suite("Authorization", .enabled(if: geteuid() == 0, "needs root to run clients as other users"))
struct AuthorizationTests {
    /// Two groups that every Debian has stand in for weft and weft-admin.
    private static let policy = AccessPolicy(readers: "users", administrators: "staff")
    private static let readers: UInt32 = 100

    /// `open` lets everybody connect, so that what is seen is the server's own check and not the file's mode.
    private func statuses(_ user: Curl.User, open: Bool) async throws -> (read: Curl.Reply, change: Curl.Reply) {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        return try await withServer(socket: socket, policy: Self.policy) { _ in
            if open { chmod(socket, 0o666) }
            let curl = Curl(socket: socket)
            return (await curl.send("GET", "/v1/status", as: user), await curl.send("POST", "/v1/reload", as: user))
        }
    }

    @Test(
        arguments: [
            ("with no group", 65_534, 65_534, [], 403, 403), ("with other groups", 65_534, 65_534, [1, 2, 60], 403, 403),
            ("in the readers' group", 65_534, 65_534, [100], 200, 403), ("whose first group is the readers'", 65_534, 100, [], 200, 403),
            ("in the administrators' group", 65_534, 65_534, [100, 50], 200, 200),
            ("with the administrators' group alone", 65_534, 65_534, [50], 200, 200),
            ("root without groups", 0, 0, [], 200, 200),
        ] as [(String, UInt32, UInt32, [UInt32], Int, Int)])
    func `is decided for each request by the kernel's word on user and groups`(
        _ name: String, _ uid: UInt32, _ gid: UInt32, _ groups: [UInt32], _ read: Int, _ change: Int
    ) async throws {
        let replies = try await statuses(Curl.User(uid: uid, gid: gid, groups: groups), open: true)
        #expect(replies.read.status == read, "\(replies.read)")
        #expect(replies.change.status == change, "\(replies.change)")
        if read == 403 { #expect(replies.read.error?.message.contains("group users") == true) }
        if change == 403 { #expect(replies.change.error?.message.contains("group staff") == true) }
    }

    @Test func `a reader speaks as its own process, who may change anything for anybody`() async throws {
        let scratch = Scratch()
        let agent = TestAgent()
        try await withServer(agent, socket: "\(scratch.path)/s", policy: Self.policy) { _ in
            func beat(_ user: Curl.User) async -> Int {
                await Curl(socket: "\(scratch.path)/s").send("POST", "/v1/heartbeats/reviews", body: #"{"status":"passing"}"#, as: user).status
            }
            #expect(await beat(Curl.User(uid: 65_534, gid: 65_534, groups: [Self.readers])) == 200)
            #expect(agent.read(\.lastHeartbeatProcess).map { $0 > 1 } == true)
            #expect(await beat(Curl.User(uid: 0, gid: 0, groups: [])) == 200)
            #expect(agent.read(\.lastHeartbeatProcess) == nil)
            chmod("\(scratch.path)/s", 0o666)
            #expect(await beat(.nobody) == 403)
        }
    }

    @Test func `knows a member of more groups than fit at first`() async throws {
        let many = Array(1000...1200) + [Self.readers]
        let replies = try await statuses(Curl.User(uid: 65_534, gid: 65_534, groups: many.map { UInt32($0) }), open: true)
        #expect(replies.read.status == 200, "\(replies.read)")
        #expect(replies.change.status == 403)
    }

    @Test func `begins with the file's mode`() async throws {
        let stranger = try await statuses(.nobody, open: false)
        #expect(stranger.read.exit == 7, "curl could not connect")
        let reader = try await statuses(Curl.User(uid: 65_534, gid: 65_534, groups: [Self.readers]), open: false)
        #expect(reader.read.status == 200)
        #expect(reader.change.status == 403)
    }

    @Test func `tells strangers nothing about what exists`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        try await withServer(socket: socket, policy: Self.policy) { _ in
            chmod(socket, 0o666)
            #expect(await Curl(socket: socket).send("GET", "/v1/nothing", as: .nobody).status == 403)
            #expect(await Curl(socket: socket).send("GET", "/metrics", as: .nobody).status == 403)
        }
    }
}
