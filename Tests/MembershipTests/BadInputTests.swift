import MeshModel
import Platform
import Reactor
import Testing

@testable import Membership
@testable import SWIM

/// What strangers and members that lie can send to a real gossip port.
@Suite(.serialized) struct BadInputTests {
    private static func send(_ packet: [UInt8], _ socket: borrowing OwnedFD, to address: SocketAddress) {
        let raw = socket.raw
        _ = packet.withUnsafeBytes { Socket.send(raw, $0, to: address) }
    }

    private static func invented(_ number: Int, metaBytes: Int = 0) -> Alive {
        Alive(
            incarnation: 1, node: "invented-\(number)", address: SocketAddress(IPAddress(v4: 0x7f02_0000 | UInt32(number)), port: 9),
            meta: [UInt8](repeating: 1, count: metaBytes), versions: PoolKind.serf.versions)
    }

    // MARK: Floods of members

    // In processes of their own: they keep the control loop busy, on which other tests wait.
    @Test(.timeLimit(.minutes(1))) func tenThousandInventedMembersTakeNoTrueOneAway() async {
        await #expect(processExitsWith: .success) { try await BadInputTests.tenThousandMembers() }
    }

    @Test(.timeLimit(.minutes(1))) func exchangesFullOfInventedMembersAreTakenUpToTheBoundAndCounted() async {
        await #expect(processExitsWith: .success) { try await BadInputTests.fullExchanges() }
    }

    fileprivate static func tenThousandMembers() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1)
            let b = try await pool.start("b", 2)
            #expect(await b.join([a.configuration.bind]).contacted == 1)
            #expect(await eventually { await a.live == ["a", "b"] })
            let socket = try Socket.udp(SocketAddress(pool.address(3).ip, port: 0))
            // By datagrams as fast as the kernel takes them; it may throw some away, as on any busy host.
            for batch in 0..<400 {
                Self.send(PacketCodec.compound((0..<25).map { Message.alive(Self.invented(25 * batch + $0)).encoded }), socket, to: pool.address(1))
            }
            #expect(await eventually { await a.members().count > 300 })
            for gossip in [a, b] {
                #expect(await gossip.members().count <= SWIMLimits.members)
                #expect(await gossip.queuedBroadcasts <= SWIMLimits.members + SWIMLimits.queuedUserMessages)
            }
            #expect(await a.state("b") == .alive)
            #expect(await b.state("a") == .alive)
            #expect(await !pool.kinds("a", about: "b").contains(.died))
            #expect(await !pool.kinds("b", about: "a").contains(.died))
        }
    }

    fileprivate static func fullExchanges() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1) { $0.timers.streamTimeout = .seconds(20) }
            for round in 0..<2 {
                let nodes = (0..<500).map { number in
                    let alive = Self.invented(500 * round + number, metaBytes: SWIMLimits.acceptedMetaBytes)
                    return NodeState(
                        name: alive.node, address: alive.address, incarnation: 1, meta: alive.meta, state: .alive, versions: alive.versions)
                }
                let bytes = try #require(PacketCodec().seal(.pushPull(PushPull(isJoin: true, nodes: nodes, userState: [])), dialled: true))
                try await Self.stream(bytes, to: pool.address(1))
            }
            #expect(await eventually { await a.counters.core[.full] > 0 })
            #expect(await a.members().count < 800)
            // What it holds still fits into an exchange, so others can join; there is no room for them in its list, which they are not told by this.
            let b = try await pool.start("b", 2) { $0.timers.streamTimeout = .seconds(20) }
            #expect(await b.join([a.configuration.bind]).contacted == 1)
        }
    }

    /// Writes all of it, and does not wait for the answer.
    private static func stream(_ bytes: [UInt8], to address: SocketAddress) async throws {
        let fd = try Socket.connect(to: address)
        let raw = fd.raw
        var sent = 0
        let isDone = await eventually {
            while sent < bytes.count {
                let result = bytes.withUnsafeBytes { Socket.write(raw, UnsafeRawBufferPointer(rebasing: $0[sent...])) }
                guard case .bytes(let count) = result else { break }
                sent += count
            }
            return sent == bytes.count
        }
        #expect(isDone, "\(sent) of \(bytes.count) bytes were taken")
        // The other side closes when it has answered.
        var buffer = [UInt8](repeating: 0, count: 65536)
        _ = await eventually {
            while true {
                switch buffer.withUnsafeMutableBytes({ Socket.read(raw, $0) }) {
                case .bytes: continue
                case .wouldBlock: return false
                case .endOfStream, .failed: return true
                }
            }
        }
        _ = consume fd
    }

    // MARK: Room for streams

    @Test func aStreamThatGrowsOverItsBoundIsRefusedAndGivesItsRoomBack() async throws {
        let address = SocketAddress(IPAddress(v4: 0x7f00_0109), port: Pool.port())
        let refusals = Refusals()
        let server = await StreamServer(
            timeout: .seconds(20), onRequest: { _, _, _ in }, onRefusal: { reason, _ in refusals.all.append(reason) })
        try await server.start(address, mark: 0)
        // One member, with a field that nobody knows and that is longer than a stream may be.
        var bytes: [UInt8] = [Wire.pushPull, 0x81, 0xa5] + "Nodes".utf8 + [1, 0x81, 0xa1, 120, 0xc6, 0, 0x50, 0, 0]
        bytes += [UInt8](repeating: 7, count: SWIMLimits.stream + 4096)
        try await Self.overfill(bytes, address)
        #expect(await eventually { await refusals.all == [.oversized] })
        #expect(await server.held == 0)
        await server.stop()
    }

    @Control private final class Refusals {
        var all: [Refusal] = []
    }

    /// Writes until the other side has closed.
    private static func overfill(_ bytes: [UInt8], _ address: SocketAddress) async throws {
        let fd = try Socket.connect(to: address)
        let raw = fd.raw
        var sent = 0
        _ = await eventually {
            while sent < bytes.count {
                switch bytes.withUnsafeBytes({ Socket.write(raw, UnsafeRawBufferPointer(rebasing: $0[sent...])) }) {
                case .bytes(let count): sent += count
                case .wouldBlock: return false
                case .endOfStream, .failed: return true
                }
            }
            return true
        }
        _ = consume fd
    }

    // MARK: Without the key

    @Test func withoutTheKeyNothingIsBelievedWhetherForgedCutOrHeardBefore() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let key = [UInt8](repeating: 7, count: 32)
            let a = try await pool.start("a", 1, keys: [key])
            let b = try await pool.start("b", 2, keys: [key])
            #expect(await b.join([a.configuration.bind]).contacted == 1)
            #expect(await eventually { await a.live == ["a", "b"] })
            let socket = try Socket.udp(SocketAddress(pool.address(3).ip, port: 0))
            let death = Message.dead(Accusation(incarnation: 1, node: "b", from: "x")).encoded
            // Forged with another key; in clear; a sealed one that was cut, and one of which a bit was changed.
            let ours = PacketCodec(cipher: AESGCM(try Keyring(keys: [key])))
            let theirs = PacketCodec(cipher: AESGCM(try Keyring(keys: [[UInt8](repeating: 8, count: 32)])))
            let sealed = try #require(ours.seal(death))
            var changed = sealed
            changed[20] ^= 1
            for packet in [try #require(theirs.seal(death)), Array(sealed.dropLast(3)), changed] { Self.send(packet, socket, to: pool.address(1)) }
            Self.send(PacketCodec.checksummed(death), socket, to: pool.address(1))
            #expect(await eventually { await a.counters.core[.undecryptable] == 3 })
            #expect(await eventually { await a.counters.core[.plaintext] == 1 })
            #expect(await a.state("b") == .alive)

            // A member said so once, and b has contradicted it. Heard again, it means nothing: the seal is good and the claim is old.
            Self.send(sealed, socket, to: pool.address(1))
            #expect(await eventually { await pool.kinds("a", about: "b").contains(.died) })
            #expect(await eventually { await a.state("b") == .alive })
            let before = await pool.kinds("a", about: "b")
            let received = await a.counters.core.datagramsIn
            for _ in 0..<100 { Self.send(sealed, socket, to: pool.address(1)) }
            #expect(await eventually { await a.counters.core.datagramsIn >= received + 100 })
            #expect(await pool.kinds("a", about: "b") == before)
            #expect(await a.state("b") == .alive)
        }
    }

    // MARK: Other versions

    @Test func aNewerMemberIsUnderstoodAsFarAsItCanBe() async throws {
        try await Pool.with(port: Pool.port()) { pool in
            let a = try await pool.start("a", 1)
            let socket = try Socket.udp(SocketAddress(pool.address(3).ip, port: 0))
            // Fields that are not known yet, in a message that is; and a kind of message that is not known.
            var alive = Message.alive(Self.invented(1)).encoded
            alive[1] += 2
            alive += [0xa5] + "Later".utf8 + [0x82, 0xa1, 97, 1, 0xa1, 98, 0x91, 0xc0] + [0xa4] + "More".utf8 + [0xcb, 0, 0, 0, 0, 0, 0, 0, 0]
            let unknown: [UInt8] = [60, 0x80]
            Self.send(PacketCodec.compound([unknown, alive]), socket, to: pool.address(1))
            #expect(await eventually { await a.state("invented-1") != nil })
            #expect(await a.counters.core[.unknownType] == 1)
            // A member that speaks only what nobody here does is refused with the versions in words, and the pool stays as it is.
            var newer = Self.invented(2)
            newer.versions = ProtocolVersions(9, 9, 9, 9, 9, 9)
            let state = NodeState(
                name: newer.node, address: newer.address, incarnation: 1, meta: [], state: .alive, versions: newer.versions)
            let request = try #require(PacketCodec().seal(.pushPull(PushPull(isJoin: true, nodes: [state], userState: [])), dialled: true))
            let fd = try Socket.connect(to: pool.address(1))
            let raw = fd.raw
            #expect(await eventually { if case .bytes(request.count) = request.withUnsafeBytes({ Socket.write(raw, $0) }) { true } else { false } })
            var answer = [UInt8](repeating: 0, count: 1024)
            var count = 0
            #expect(
                await eventually {
                    if case .bytes(let read) = answer.withUnsafeMutableBytes({ Socket.read(raw, $0) }) { count = read }
                    return count > 0
                })
            _ = consume fd
            guard case .error(let text) = try PacketCodec().openStream(Array(answer[..<count]), dialled: false) else {
                return #expect(Bool(false), "no reason was given")
            }
            #expect(text.contains("invented-2 speaks gossip protocol 9"), "\(text)")
            #expect(await a.counters.core[.incompatible] == 1)
            #expect(await a.state("invented-2") == nil)
        }
    }
}
