import MeshModel
import Platform
import Reactor
import Testing

@testable import Membership
@testable import SWIM

@Suite struct MemberLogTests {
    private func event(_ name: String) -> GossipEvent {
        let member = Member(
            name: name, address: SocketAddress(.loopbackV4, port: 7946), state: .alive, incarnation: 1, meta: [], versions: PoolKind.serf.versions,
            since: .now())
        return GossipEvent(kind: .joined, member: GossipMember(member, local: "a", now: .now(), wall: .now()), by: name, cause: .gossip)
    }

    @Test func aReaderComesBackForWhatItHasNotSeen() {
        var log = MemberLog()
        #expect(log.read(after: 0) == .init(changes: [], last: 0, missed: 0))
        for name in ["b", "c", "d"] { log.add(event(name), at: WallTime(seconds: 5)) }
        let all = log.read(after: 0)
        #expect(all.changes.map(\.event.member.name) == ["b", "c", "d"] && all.changes.map(\.number) == [1, 2, 3] && all.last == 3)
        #expect(log.read(after: 2).changes.map(\.event.member.name) == ["d"])
        #expect(log.read(after: 3) == .init(changes: [], last: 3, missed: 0))
        // The number of an earlier run of the agent.
        #expect(log.read(after: 900) == all)
    }

    @Test func theOldestGoAndAreCounted() {
        var log = MemberLog()
        let count = 3 * MemberLog.bound
        for number in 1...count { log.add(event("n\(number)"), at: WallTime(seconds: 5)) }
        let reading = log.read(after: 10)
        #expect(reading.changes.count >= MemberLog.bound && reading.changes.count < 2 * MemberLog.bound)
        #expect(Int(reading.missed) == count - 10 - reading.changes.count)
        #expect(reading.changes.first?.number == reading.missed + 11 && reading.changes.last?.number == UInt64(count))
        #expect(log.read(after: UInt64(count - 1)).missed == 0)
    }

    @Test func readersWaitForAChangeForTheTimeoutAndNoLongerThanGossipLives() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1)
            #expect(try await a.changes(after: nil, timeout: .seconds(60)) == .init(changes: [], last: 0, missed: 0))
            #expect(try await a.changes(after: 0, timeout: .milliseconds(30)).changes.isEmpty)

            async let first = a.changes(after: 0, timeout: .seconds(60))
            #expect(await eventually { await a.readers.count == 1 })
            let b = try await pool.start("b", 2)
            #expect(await b.join([a.configuration.bind]).contacted == 1)
            let reading = try await first
            #expect(reading.changes.map(\.event.kind) == [.joined] && reading.changes.map(\.event.member.name) == ["b"])

            // A death tells who suspected.
            await b.stop()
            var last = reading.last
            var death: GossipEvent?
            #expect(
                await eventually(within: .seconds(15)) {
                    guard let more = try? await a.changes(after: last, timeout: .seconds(1)) else { return false }
                    last = more.last
                    death = more.changes.map(\.event).first { $0.kind == .died } ?? death
                    return death != nil
                })
            #expect(death?.cause == .suspicionExpired(confirmedBy: ["a"]) && death?.why == "suspected by a and not refuted")

            async let cut = a.changes(after: last, timeout: .seconds(60))
            #expect(await eventually { await a.readers.count == 1 })
            await a.stop()
            do {
                _ = try await cut
                Issue.record("gossip ended and the reader was not told")
            } catch {
                #expect((error as? MeshError)?.code == "gossip_stopped")
            }
        }
    }

    @Test func oneReaderTooManyIsToldSo() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1)
            let waiting = (0..<Gossip.maximumReaders).map { _ in Task { try? await a.changes(after: 0, timeout: .seconds(60)) } }
            #expect(await eventually { await a.readers.count == Gossip.maximumReaders })
            do {
                _ = try await a.changes(after: 0, timeout: .seconds(60))
                Issue.record("there is no bound")
            } catch {
                #expect((error as? MeshError)?.code == "too_many_readers")
            }
            await a.stop()
            for task in waiting { _ = await task.value }
        }
    }
}

@Suite struct WallClockTests {
    /// The one place where membership reads the host's clock: what people are shown.
    @Test(arguments: [0, 1, 2_000_000_000, 4_000_000_000] as [Int64])
    func aHostsClockThatWasSetElsewhereMovesOnlyWhatIsShown(_ seconds: Int64) {
        let since = MonotonicTime(nanoseconds: 1_000_000_000)
        let member = Member(
            name: "m", address: SocketAddress(.loopbackV4, port: 7946), state: .suspect, incarnation: 4, meta: [], versions: PoolKind.serf.versions, since: since)
        let shown = GossipMember(member, local: "a", now: since + .seconds(3600), wall: WallTime(seconds: seconds))
        #expect(shown.since.seconds == seconds - 3600 && shown.state == .suspect && shown.incarnation == 4)
    }
}
