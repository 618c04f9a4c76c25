import Glibc
import MeshModel
import Platform
import Reactor
import TLS
import Testing

@testable import Plane

@Suite @Control struct `Plane streams` {
    @Test func `both ends know each other and frames travel both ways in order`() async throws {
        let loopback = try Loopback()
        let (a, b) = try await loopback.pair()
        #expect(a.peerURIs == ["spiffe://lab/node/b"] && b.peerURIs == ["spiffe://lab/node/a"])
        #expect(a.alpn == "weft-plane/1" && b.alpn == "weft-plane/1")
        #expect(b.peer?.ip == .loopbackV4)
        var atA: [Frame] = [], atB: [Frame] = []
        a.handle(.test) { atA.append($0) }
        b.handle(.test) { atB.append($0) }
        // Some before the start, some large, many small.
        var sent: [Frame] = [Frame(.test, Array("early".utf8), version: 2)]
        try a.send(sent[0])
        a.start()
        b.start()
        for index in 0..<200 {
            let frame = Frame(.test, [UInt8](repeating: UInt8(index), count: index % 50 == 0 ? 300_000 : index * 7))
            sent.append(frame)
            try a.send(frame)
            try b.send(frame)
        }
        #expect(await until { atB.count == 201 && atA.count == 200 })
        let inOrder = atB == sent && atA == Array(sent.dropFirst())
        #expect(inOrder)
        #expect(b.counters.framesIn == 201 && a.counters.framesOut == 201)
        a.close("done")
        b.close("done")
    }

    @Test func `questions are answered, refused or left unanswered, each to its asker`() async throws {
        let loopback = try Loopback()
        let (a, b) = try await loopback.pair()
        b.answer(.test) { frame throws(MeshError) in
            switch frame.payload.first {
            case 1: throw MeshError(.policy, code: "not_allowed", "no", remedy: "ask another")
            case 2:
                await ControlLoop.shared.sleep(.milliseconds(400))
                return []
            default: return frame.payload.reversed()
            }
        }
        a.start()
        b.start()
        let answer = try await a.request(.test, [5, 6, 7], timeout: .seconds(5))
        #expect(answer == Frame(.test, [7, 6, 5]))
        let refusal = await failure { () async throws(MeshError) in _ = try await a.request(.test, [1], timeout: .seconds(5)) }
        #expect(refusal?.code == "not_allowed" && refusal?.remedy == "ask another" && refusal?.source == .peer)
        let late = await failure { () async throws(MeshError) in _ = try await a.request(.test, [2], timeout: .milliseconds(100)) }
        #expect(late?.code == "plane_request_timeout")
        let unsupported = await failure { () async throws(MeshError) in _ = try await a.request(.other, [], timeout: .seconds(5)) }
        #expect(unsupported?.code == "plane_unsupported")
        #expect(await until { a.counters.lateResponses == 1 })
        async let one = a.request(.test, [10], timeout: .seconds(5))
        async let two = a.request(.test, [20], timeout: .seconds(5))
        let both = try await (one.payload, two.payload)
        #expect(both == ([10], [20]))
        a.close("done")
        b.close("done")
    }

    @Test func `too many questions are refused at either end`() async throws {
        let loopback = try Loopback()
        var few = PlaneSettings()
        few.maxServedRequests = 2
        few.maxPendingRequests = 3
        let (a, b) = try await loopback.pair(a: few, b: few)
        b.answer(.test) { _ in
            await ControlLoop.shared.sleep(.milliseconds(150))
            return []
        }
        a.start()
        b.start()
        async let first = code { () async throws(MeshError) in _ = try await a.request(.test, [], timeout: .seconds(5)) }
        async let second = code { () async throws(MeshError) in _ = try await a.request(.test, [], timeout: .seconds(5)) }
        async let third = code { () async throws(MeshError) in _ = try await a.request(.test, [], timeout: .seconds(5)) }
        async let fourth = code { () async throws(MeshError) in _ = try await a.request(.test, [], timeout: .seconds(5)) }
        let codes = await [first, second, third, fourth].sorted()
        #expect(codes == ["", "", "plane_busy", "plane_too_many_requests"])
        #expect(b.counters.busyRequests == 1)
        a.close("done")
        b.close("done")
    }

    @Test func `frames of unknown types are skipped and counted`() async throws {
        let loopback = try Loopback()
        let (a, b) = try await loopback.pair()
        var seen = 0
        b.handle(.test) { _ in seen += 1 }
        a.start()
        b.start()
        try a.send(Frame(.other, [1], version: 9))
        try a.send(Frame(FrameType(rawValue: 0x0f), [1]))
        try a.send(Frame(.test))
        #expect(await until { seen == 1 })
        #expect(b.counters.unknownFrames == 2)
        #expect(b.isOpen)
        a.close("done")
        b.close("done")
    }

    @Test func `a frame over the bound is refused by the sender and by the receiver`() async throws {
        let loopback = try Loopback()
        var small = PlaneSettings()
        small.maxFrameBytes = 1000
        let (a, b) = try await loopback.pair(b: small)
        var closure: PlaneClosure?
        b.onClose = { closure = $0 }
        a.start()
        b.start()
        let refused = await failure { () throws(MeshError) in try b.send(Frame(.test, [UInt8](repeating: 0, count: 999))) }
        #expect(refused?.code == "plane_frame_too_large")
        try a.send(Frame(.test, [UInt8](repeating: 0, count: 999)))
        #expect(await until { closure != nil })
        guard case .failed(let error)? = closure else {
            Issue.record("\(String(describing: closure))")
            return
        }
        #expect(error.code == "plane_bad_frame")
        #expect(await until { !a.isOpen })
    }

    @Test func `what a peer sends is kept until it is read`() async throws {
        let loopback = try Loopback()
        func left(_ receiveBuffer: Int32, after wait: @Control (PlaneStream) async throws -> Void) async throws -> Int {
            var settings = PlaneSettings()
            settings.receiveBuffer = receiveBuffer
            let (a, b) = try await loopback.pair(b: settings)
            a.start()
            for _ in 0..<24 { try a.send(Frame(.test, [UInt8](repeating: 3, count: 1 << 18))) }
            try await wait(a)
            defer {
                a.close("done")
                b.close("done")
            }
            return a.queuedBytes
        }
        // All of it leaves although the peer has read nothing of it.
        #expect(try await left(PlaneSettings().receiveBuffer) { stream in _ = await until { stream.queuedBytes == 0 } } == 0)
        #expect(try await left(1 << 16) { _ in try await Task.sleep(for: .milliseconds(200)) } > 1 << 20)
    }

    @Test func `a peer that does not read fills a bounded queue`() async throws {
        let loopback = try Loopback()
        var small = PlaneSettings()
        small.maxQueuedBytes = 1 << 20
        let (a, b) = try await loopback.pair(a: small)
        a.start()
        var refusal: MeshError?
        var sent = 0
        for _ in 0..<2000 where refusal == nil {
            refusal = await failure { () throws(MeshError) in try a.send(Frame(.test, [UInt8](repeating: 3, count: 65_536))) }
            if refusal == nil { sent += 1 }
        }
        #expect(refusal?.code == "plane_queue_full")
        #expect(a.queuedBytes <= 1 << 20)
        #expect(a.counters.queueFull == 1)
        // Once it reads, all of it arrives.
        var received = 0
        b.handle(.test) { if $0.payload.count == 65_536 { received += 1 } }
        b.start()
        #expect(await until { received == sent })
        #expect(a.queuedBytes == 0)
        a.close("done")
        b.close("done")
    }

    @Test func `a silent peer is given up`() async throws {
        let loopback = try Loopback()
        var hasty = PlaneSettings()
        hasty.keepalive = .milliseconds(100)
        hasty.deadAfter = .milliseconds(300)
        let (a, b) = try await loopback.pair(a: hasty)
        var closure: PlaneClosure?
        a.onClose = { closure = $0 }
        a.start()
        #expect(await until { closure != nil })
        guard case .failed(let error)? = closure else {
            Issue.record("\(String(describing: closure))")
            return
        }
        #expect(error.code == "plane_peer_silent")
        b.close("done")
    }

    @Test func `a quiet peer that answers pings is kept`() async throws {
        let loopback = try Loopback()
        var hasty = PlaneSettings()
        hasty.keepalive = .milliseconds(50)
        hasty.deadAfter = .milliseconds(250)
        let (a, b) = try await loopback.pair(a: hasty)
        a.start()
        b.start()
        await ControlLoop.shared.sleep(.milliseconds(700))
        #expect(a.isOpen && b.isOpen)
        #expect(b.counters.framesIn >= 3)
        a.close("done")
        b.close("done")
    }

    @Test func `a closed stream tells the peer why, sends what waited and fails its questions`() async throws {
        let loopback = try Loopback()
        let (a, b) = try await loopback.pair()
        var atA: PlaneClosure?, atB: PlaneClosure?, closedTwice = 0, received = 0
        a.onClose = {
            atA = $0
            closedTwice += 1
        }
        b.onClose = { atB = $0 }
        b.handle(.other) { _ in received += 1 }
        b.answer(.test) { _ in
            await ControlLoop.shared.sleep(.seconds(2))
            return []
        }
        a.start()
        async let pending = failure { () async throws(MeshError) in _ = try await a.request(.test, [], timeout: .seconds(5)) }
        await ControlLoop.shared.sleep(.milliseconds(50))
        for _ in 0..<100 { try a.send(Frame(.other, [UInt8](repeating: 1, count: 20_000))) }
        a.close("drained")
        a.close("again")
        b.start()
        #expect(await pending?.code == "plane_closed")
        #expect(await until { atB != nil })
        guard case .peer("drained")? = atB, case .local("drained")? = atA else {
            Issue.record("\(String(describing: atA)), \(String(describing: atB))")
            return
        }
        #expect(received == 100)
        #expect(closedTwice == 1)
        let afterwards = await failure { () throws(MeshError) in try a.send(Frame(.test)) }
        #expect(afterwards?.code == "plane_closed")
    }

    @Test func `a handler may close the stream it is called from`() async throws {
        let loopback = try Loopback()
        let (a, b) = try await loopback.pair()
        var seen = 0, over = false
        b.handle(.test) { _ in
            seen += 1
            b.close("enough")
        }
        b.onClose = { _ in over = true }
        a.start()
        b.start()
        for _ in 0..<10 { try? a.send(Frame(.test)) }
        #expect(await until { over && !a.isOpen })
        #expect(seen == 1)
    }

    /// What a throwing call failed with.
    private func failure(_ body: @Control () async throws(MeshError) -> Void) async -> MeshError? {
        do throws(MeshError) {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    private func code(_ body: @Control () async throws(MeshError) -> Void) async -> String { await failure(body)?.code ?? "" }
}
