import Management
import ManagementAPI
import Testing

@Suite("Access")
struct AccessPolicyTests {
    private static let groups: [String: UInt32] = ["weft": 100, "weft-admin": 200]
    private static let policy = AccessPolicy()

    private func refusal(_ peer: PeerCredentials, _ access: Route.Access) -> APIError? {
        do throws(APIError) {
            try Self.policy.check(peer, for: access, agent: 900) { Self.groups[$0] }
            return nil
        } catch {
            return error
        }
    }

    @Test(
        arguments: [
            // uid, gid, groups, may read, may change
            (0, 0, [], true, true), (900, 900, [], true, true), (1000, 100, [], true, false), (1000, 1000, [100], true, false),
            (1000, 1000, [7, 8, 200], true, true), (1000, 200, [], true, true), (1000, 1000, [], false, false), (1000, 1000, [7, 8], false, false),
            (1000, 0, [0], false, false),
        ] as [(UInt32, UInt32, [UInt32], Bool, Bool)])
    func `follows the user and its groups`(_ uid: UInt32, _ gid: UInt32, _ groups: [UInt32], _ read: Bool, _ change: Bool) throws {
        let peer = PeerCredentials(pid: 1, uid: uid, gid: gid, groups: groups)
        #expect((refusal(peer, .read) == nil) == read)
        #expect((refusal(peer, .change) == nil) == change)
        #expect((refusal(peer, .own) == nil) == read, "what is whose is asked later")
        if read { #expect(try Self.policy.check(peer, for: .own, agent: 900) { Self.groups[$0] } == (change ? .administrator : .reader)) }
    }

    @Test func `that is refused names the group that is needed`() {
        let peer = PeerCredentials(pid: 1, uid: 1000, gid: 1000, groups: [])
        #expect(refusal(peer, .read)?.message.contains("group weft") == true)
        #expect(refusal(peer, .change)?.message.contains("group weft-admin") == true)
        #expect(refusal(peer, .change)?.remedy.contains("usermod -aG weft-admin") == true)
        #expect(refusal(peer, .change)?.kind == .forbidden)
    }

    @Test func `is for nobody when the groups do not exist`() {
        let peer = PeerCredentials(pid: 1, uid: 1000, gid: 100, groups: [200])
        #expect(throws: APIError.self) { try Self.policy.check(peer, for: .read, agent: 900) { _ in nil } }
    }

    @Test func `looks groups up in the system's database`() {
        #expect(GroupDatabase.number(of: "root") == 0)
        #expect(GroupDatabase.number(of: "weft-no-such-group") == nil)
    }
}
