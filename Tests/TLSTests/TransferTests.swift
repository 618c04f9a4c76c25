import Glibc
import Platform
import TLS
import Testing

@Suite struct `TLS transfer` {
    let authority = TestAuthority()

    /// Two ends past their handshake.
    private func pair(bufferBytes: CInt = 0) throws -> (Box<TLSConnection>, Box<TLSConnection>) {
        let leaf = authority.issue()
        let (a, b) = socketPair(bufferBytes: bufferBytes)
        let answering = server(authority.trust, leaf.credential)
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: "x", alpn: ["h2"], credential: leaf.credential)
        var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
        let outcome = shakeHands(&client, &server)
        #expect(outcome.isDone)
        return (Box(client), Box(server))
    }

    @Test(arguments: [(64 << 20, 0), (3 << 20, 4096)] as [(Int, CInt)])
    func `every byte arrives, through full sockets and moving buffers`(total: Int, bufferBytes: CInt) throws {
        let (from, to) = try pair(bufferBytes: bufferBytes)
        var state: UInt64 = 42
        let source = [UInt64](unsafeUninitializedCapacity: total / 8) { buffer, count in
            for index in 0..<total / 8 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                buffer[index] = state
            }
            count = total / 8
        }
        var sent = 0, received = 0, stalls = 0
        var buffer = [UInt8](repeating: 0, count: 16_384)
        var differs = false
        while received < total {
            source.withUnsafeBytes { bytes in
                while sent < total {
                    // A copy, so that a retry comes from another address.
                    let piece = Array(bytes[sent..<min(total, sent + 50_000)])
                    guard case .bytes(let count) = write(&from.value, piece) else {
                        stalls += 1
                        return
                    }
                    sent += count
                }
            }
            while case .bytes(let count) = buffer.withUnsafeMutableBytes({ to.value.read(into: $0) }) {
                source.withUnsafeBytes { bytes in if memcmp(&buffer, bytes.baseAddress! + received, count) != 0 { differs = true } }
                received += count
            }
        }
        #expect(!differs)
        #expect(stalls > 0)
    }

    @Test func `bytes that TLS holds back are announced`() throws {
        let (from, to) = try pair()
        _ = write(&from.value, [UInt8](repeating: 1, count: 10_000))
        _ = write(&from.value, [UInt8](repeating: 2, count: 10_000))
        let (_, first) = read(&to.value, 100)
        #expect(first.count == 100)
        let held = to.value.hasBufferedInput
        #expect(held)
        var rest = 0
        while case .bytes(let count) = read(&to.value).result { rest += count }
        #expect(rest == 19_900)
        let heldAtEnd = to.value.hasBufferedInput
        #expect(!heldAtEnd)
    }

    @Test func `each direction ends on its own`() throws {
        let (a, b) = try pair()
        let first = a.value.shutdown(), again = a.value.shutdown()
        #expect(first && again)
        guard case .endOfStream = read(&b.value).result else {
            Issue.record("no end")
            return
        }
        _ = write(&b.value, [7])
        let (_, answer) = read(&a.value)
        #expect(answer == [7])
    }

    @Test func `an end without close_notify is a failure and not an end`() throws {
        let (a, b) = try pair()
        shutdown(a.value.fd, CInt(SHUT_WR))
        guard case .failed(let error) = read(&b.value).result else {
            Issue.record("no failure")
            return
        }
        #expect(error.code == .closedEarly)
    }

    @Test func `writing to a peer that is gone is an error, not the end of the process`() throws {
        let (a, b) = try pair()
        shutdown(b.value.fd, CInt(SHUT_RDWR))
        var result = TLSIOResult.bytes(0)
        for _ in 0..<3 { result = write(&a.value, [UInt8](repeating: 0, count: 1000)) }
        guard case .failed(let error) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(error.code == .network)
        let saidAll = a.value.shutdown()
        #expect(saidAll, "a broken connection has nothing left to say")
    }

    @Test func `a damaged record is refused`() throws {
        let leaf = authority.issue()
        let (a, rawA) = socketPair()
        let (rawB, b) = socketPair()
        let middleA = OwnedFD(consuming: rawA), middleB = OwnedFD(consuming: rawB)
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: "x", alpn: ["h2"], credential: leaf.credential)
        let answering = server(authority.trust, leaf.credential)
        var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
        func relay(damage: Bool) {
            for (from, to) in [(middleA.raw, middleB.raw), (middleB.raw, middleA.raw)] {
                var bytes = [UInt8](repeating: 0, count: 65_536)
                let count = recv(from, &bytes, bytes.count, 0)
                guard count > 0 else { continue }
                if damage { bytes[count - 3] ^= 1 }
                send(to, bytes, count, 0)
            }
        }
        var done = (false, false)
        for _ in 0..<20 where !(done.0 && done.1) {
            if !done.0, case .done = client.handshake() { done.0 = true }
            relay(damage: false)
            if !done.1, case .done = server.handshake() { done.1 = true }
            relay(damage: false)
        }
        #expect(done.0 && done.1)
        _ = write(&client, [1, 2, 3])
        relay(damage: true)
        guard case .failed(let error) = read(&server).result else {
            Issue.record("no failure")
            return
        }
        #expect(error.code == .protocolError)
    }
}
