import Logging
import MeshModel
import Platform
import Reactor
import Testing

@testable import Membership
@testable import SWIM

/// Real sockets on loopback addresses, one process. Each test has its own port, so all may run at once.
@Suite struct GossipTests {
    // MARK: Names

    @Test func twoNodesOfOneNameAreToldOfAndTheFirstStays() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1)
            let b = try await pool.start("b", 2)
            #expect(await b.join([a.configuration.bind]).contacted == 1)
            #expect(await eventually { await a.live == ["a", "b"] })
            let twin = try await pool.start("b", 3)
            #expect(await twin.join([a.configuration.bind]).contacted == 1)
            #expect(await eventually { await a.contests == [.init(name: "b", address: b.configuration.bind, claimant: twin.configuration.bind)] })
            #expect(await eventually { await b.contests.first?.claimant == twin.configuration.bind })
            #expect(await eventually { await twin.contests.first?.claimant == b.configuration.bind })
            #expect(await a.members().first { $0.name == "b" }?.address == b.configuration.bind)
            #expect(await pool.kinds("a", about: "b") == [.joined, .contested])
        }
    }

    @Test func aNodeThatComesBackElsewhereTakesItsNameAlong() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1)
            let b = try await pool.start("b", 2)
            #expect(await b.join([a.configuration.bind]).contacted == 1)
            #expect(await eventually { await a.live == ["a", "b"] })
            // Killed, and started on another host before anybody has missed it.
            await b.stop()
            let moved = try await pool.start("b", 3)
            #expect(await moved.join([a.configuration.bind]).contacted == 1)
            #expect(await eventually(within: .seconds(40)) { await a.members().first { $0.name == "b" && $0.state == .alive }?.address == moved.configuration.bind })
            #expect(await a.contests.isEmpty)
            #expect(await eventually { await moved.live == ["a", "b"] })
        }
    }

    // MARK: Joining, leaving, failing, returning

    @Test func threeNodesJoinLeaveFailAndReturn() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1, ["role": "web"])
            let b = try await pool.start("b", 2)
            let c = try await pool.start("c", 3)
            #expect(await b.join([a.configuration.bind]).contacted == 1)
            #expect(await c.join([a.configuration.bind]).contacted == 1)
            for gossip in [a, b, c] {
                #expect(await eventually { await gossip.live == ["a", "b", "c"] })
            }
            let seen = try #require(await c.members().first { $0.name == "a" })
            #expect(seen.address == a.configuration.bind)
            #expect(seen.tags == ["role": "web"])
            #expect(!seen.isLocal)
            #expect(abs(seen.since.seconds - WallTime.now().seconds) < 10)
            #expect(await a.members().first { $0.isLocal }?.name == "a")

            // Other tags reach all.
            try await a.setMeta(["role": "web", "version": "2"])
            #expect(await eventually { await b.members().first { $0.name == "a" }?.tags["version"] == "2" })

            // A leave is told as such, and takes about two seconds.
            await c.leave()
            #expect(await eventually { await a.state("c") == .left })
            #expect(await eventually { await b.state("c") == .left })
            #expect(await pool.kinds("a", about: "c") == [.joined, .left])

            // A stop without a word is found out.
            await b.stop()
            #expect(await eventually(within: .seconds(12)) { await a.state("b") == .dead })
            #expect(await pool.kinds("a", about: "b") == [.joined, .suspected, .died])

            // Both return, as new processes under their names.
            let b2 = try await pool.start("b", 2)
            let c2 = try await pool.start("c", 3)
            #expect(await b2.join([a.configuration.bind]).contacted == 1)
            #expect(await c2.join([b.configuration.bind]).contacted == 1)
            for gossip in [a, b2, c2] {
                #expect(await eventually { await gossip.live == ["a", "b", "c"] })
            }
        }
    }

    @Test func anEncryptedPoolTakesTheKeyAndRefusesOthers() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let key = [UInt8](repeating: 7, count: 32)
            let old = [UInt8](repeating: 8, count: 16)
            let a = try await pool.start("a", 1, keys: [key, old])
            let b = try await pool.start("b", 2, keys: [key])
            let rotating = try await pool.start("rotating", 3, keys: [old, key])
            let wrong = try await pool.start("wrong", 4, keys: [[UInt8](repeating: 9, count: 32)])
            let clear = try await pool.start("clear", 5)
            #expect(await b.join([a.configuration.bind]).contacted == 1)
            #expect(await rotating.join([a.configuration.bind]).contacted == 1)
            #expect(await eventually { await a.live == ["a", "b", "rotating"] })
            // b lacks the old key, and rotating still seals with it: b refuses what it cannot read.
            #expect(await eventually { await b.counters.core[.undecryptable] > 0 })
            let refused = await wrong.join([a.configuration.bind])
            #expect(refused.contacted == 0)
            #expect(refused.failures.map(\.failure) == [.closed])
            #expect(await a.counters.core[.undecryptable] > 0)
            #expect(await clear.join([a.configuration.bind]).contacted == 0)
            #expect(await eventually { await a.counters.core[.plaintext] > 0 })
            #expect(await a.state("wrong") == nil)

            // The ring turns without losing anybody.
            try await rotating.useKey(key)
            #expect(await eventually { await b.live == ["a", "b", "rotating"] })
            #expect(await rotating.live == ["a", "b", "rotating"])
        }
    }

    @Test func anotherLabelIsAnotherPool() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1, label: "red")
            let b = try await pool.start("b", 2, label: "red")
            let c = try await pool.start("c", 3, label: "blue")
            #expect(await b.join([a.configuration.bind]).contacted == 1)
            #expect(await c.join([a.configuration.bind]).contacted == 0)
            #expect(await eventually { await a.live == ["a", "b"] })
            #expect(await a.counters.core[.wrongLabel] == 1)
        }
    }

    @Test func aDeadSeedIsCalledAgainWhenItIsBack() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1) { $0.timers.reconnectInterval = .milliseconds(500) }
            let result = await a.join([pool.address(2)])
            #expect(result.contacted == 0)
            #expect(result.failures.map(\.failure) == [.refused])
            let b = try await pool.start("b", 2)
            #expect(await eventually { await a.live == ["a", "b"] })
            #expect(await eventually { await b.live == ["a", "b"] })
        }
    }

    @Test func aJoinThatIsWaitingEndsWithAStop() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1)
            // Taken from the backlog by nobody: it neither answers nor refuses.
            let silent = try Socket.tcpListener(pool.address(2))
            async let result = a.join([pool.address(2)])
            await ControlLoop.shared.sleep(.milliseconds(100))
            await a.stop()
            #expect(await result.contacted == 0)
            _ = consume silent
        }
    }

    @Test func aPeerThatNeverAnswersIsTimedOut() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1) { $0.timers.streamTimeout = .milliseconds(200) }
            let silent = try Socket.tcpListener(pool.address(2))
            #expect(await a.join([pool.address(2)]).failures.map(\.failure) == [.timedOut])
            _ = consume silent
        }
    }

    @Test func membersMayLiveAtIPv6AndOnOneHostAtSeveralPorts() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1) { $0.bind = SocketAddress(.loopbackV6, port: pool.port) }
            let b = try await pool.start("b", 2) { $0.bind = SocketAddress(.loopbackV6, port: pool.port + 4) }
            #expect(await b.join([a.configuration.bind]).contacted == 1)
            #expect(await eventually { await a.live == ["a", "b"] })
            #expect(await a.members().last?.address == b.configuration.bind)
            await b.stop()
            #expect(await eventually { await a.state("b") == .suspect })
        }
    }

    // MARK: Errors of the operator

    @Test func aPortInUseIsToldWithItsRemedy() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            _ = try await pool.start("a", 1)
            let error = await #expect(throws: MeshError.self) { _ = try await pool.start("b", 1) }
            #expect(error?.code == "gossip_socket")
            #expect(error?.remedy.contains("ss -lnup") == true)
            // Nothing is left half open: another address works.
            _ = try await pool.start("c", 2)
        }
    }

    @Test func aConfigurationThatCannotWorkIsRefused() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            for (change, word) in [
                ({ $0.bind = SocketAddress("0.0.0.0:7946")! }, "advertise"), ({ $0.name = "" }, "name"),
                ({ $0.tags = ["t": String(repeating: "x", count: 600)] }, "metadata"), ({ $0.label = String(repeating: "l", count: 256) }, "label"),
            ] as [((inout GossipConfiguration) -> Void, String)] {
                var configuration = GossipConfiguration(name: "x", bind: pool.address(9))
                change(&configuration)
                let gossip = await Gossip(configuration, logger: Pool.logger)
                let error = await #expect(throws: MeshError.self) { try await gossip.start() }
                #expect(error?.code == "gossip_configuration")
                #expect(error?.message.contains(word) == true)
            }
            let a = try await pool.start("a", 1)
            let error = await #expect(throws: MeshError.self) { try await a.setMeta(["t": String(repeating: "x", count: 600)]) }
            #expect(error?.code == "gossip_meta_size")
        }
    }

    // MARK: Rubbish

    @Test func rubbishIsCountedByItsReasonAndChangesNothing() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1)
            let socket = try Socket.udp(SocketAddress(pool.address(2).ip, port: 0))
            for packet in [[0xee], [0xf4, 1, 65], [7, 200], [12, 0, 0, 0, 1], [], [4, 0x80]] as [[UInt8]] {
                _ = packet.withUnsafeBytes { Socket.send(socket.raw, $0, to: pool.address(1)) }
            }
            for reason in [Refusal.unknownType, .wrongLabel, .truncated, .badChecksum, .badName] {
                #expect(await eventually { await a.counters.core[reason] > 0 })
            }
            #expect(await a.members().count == 1)
            // It still works.
            let b = try await pool.start("b", 2)
            #expect(await b.join([a.configuration.bind]).contacted == 1)
        }
    }

    @Test func streamsAreBoundedInNumberAndTime() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1) { $0.timers.streamTimeout = .milliseconds(700) }
            var streams: [CInt] = []
            defer { for fd in streams { _ = OwnedFD(consuming: fd) } }
            for _ in 0..<80 { streams.append(try Socket.connect(to: pool.address(1)).release()) }
            #expect(await eventually { await a.counters.streamsRefused == 80 - 64 })
            #expect(await eventually { await a.counters.streamsTimedOut == 64 })
            let b = try await pool.start("b", 2)
            #expect(await b.join([a.configuration.bind]).contacted == 1)
        }
    }

    @Test func aStreamOfRubbishIsClosedAndCounted() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1)
            let fd = try Socket.connect(to: pool.address(1))
            let bytes = [UInt8]("GET / HTTP/1.1\r\n\r\n".utf8)
            await ControlLoop.shared.sleep(.milliseconds(50))
            _ = bytes.withUnsafeBytes { Socket.write(fd.raw, $0) }
            #expect(await eventually { await a.counters.core[.unknownType] == 1 })
        }
    }
}
