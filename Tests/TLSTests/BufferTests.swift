import COpenSSL
import Glibc
import Platform
@testable import TLS
import Testing

@Suite struct `TLS through a thread's buffers` {
    let authority = TestAuthority()

    /// Two ends past their handshake, each with the buffers of its thread.
    private func pair(_ near: TLSBuffers, _ far: TLSBuffers, bufferBytes: CInt) throws -> (Box<TLSConnection>, Box<TLSConnection>) {
        let leaf = authority.issue()
        let (a, b) = socketPair(bufferBytes: bufferBytes)
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: "x", alpn: ["h2"], credential: leaf.credential, buffers: near)
        var server = try TLSConnection(server: server(authority.trust, leaf.credential), fd: OwnedFD(consuming: b), buffers: far)
        for _ in 0..<10 {
            // What was drained may have something again: the events of a loop say so.
            client.inputArrived(mayHaveEnded: false)
            server.inputArrived(mayHaveEnded: false)
            if shakeHands(&client, &server).isDone, client.isEstablished, server.isEstablished { break }
        }
        let isEstablished = client.isEstablished && server.isEstablished
        #expect(isEstablished)
        return (Box(client), Box(server))
    }

    @Test(arguments: [0, 4096] as [CInt])
    func `connections that share them take turns, and every byte of each arrives`(bufferBytes: CInt) throws {
        let (near, far) = (TLSBuffers(), TLSBuffers())
        let pairs = try (0..<3).map { _ in try pair(near, far, bufferBytes: bufferBytes) }
        for (from, to) in pairs {
            from.value.readAhead()
            to.value.readAhead()
        }
        let total = 3 << 20
        let sources = (0..<3).map { number in [UInt8]((0..<total).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ number) }) }
        var sent = [0, 0, 0], blocked = [false, false, false]
        var received = [[UInt8]](repeating: [], count: 3)
        var stalls = 0
        for _ in 0..<1_000_000 where received.contains(where: { $0.count < total }) {
            for number in 0..<3 {
                if case .blocked = pairs[number].0.value.flush() {
                    stalls += 1
                    continue
                }
                while sent[number] < total, pairs[number].0.value.hasRoom(for: 50_000) {
                    let piece = Array(sources[number][sent[number]..<min(total, sent[number] + 50_000)])
                    guard case .bytes(let count) = write(&pairs[number].0.value, piece) else { break }
                    sent[number] += count
                }
                if case .blocked = pairs[number].0.value.flush() { blocked[number] = true }
            }
            for number in 0..<3 {
                pairs[number].1.value.inputArrived(mayHaveEnded: false)
                pairs[number].1.value.startReceiving()
                var turn = 0
                // The turn of a connection ends some time, however much its socket has.
                while case let (result, bytes) = read(&pairs[number].1.value), case .bytes = result {
                    received[number] += bytes
                    turn += bytes.count
                    if turn >= 20_000 { _ = pairs[number].1.value.stopReceiving() }
                }
                let isLeft = pairs[number].1.value.stopReceiving()
                #expect(!isLeft && turn <= 20_000 + TLSBuffers.capacity + 16_384)
            }
        }
        for number in 0..<3 { #expect(received[number] == sources[number]) }
        #expect(bufferBytes == 0 || (stalls > 0 && blocked == [true, true, true]))
    }

    @Test func `new keys that are wanted while the socket is full meddle with no other connection`() throws {
        let (near, far) = (TLSBuffers(), TLSBuffers())
        let (from, to) = try pair(near, far, bufferBytes: 4096)
        let (other, otherEnd) = try pair(near, far, bufferBytes: 0)
        from.value.readAhead()
        // Fill the socket of the first.
        var sent: [UInt8] = []
        while case .sent = from.value.flush() {
            let piece = [UInt8](repeating: UInt8(truncatingIfNeeded: sent.count >> 12), count: 16_384)
            guard case .bytes(let count) = write(&from.value, piece) else { break }
            sent += piece[..<count]
        }
        // Its peer wants new keys, which OpenSSL answers by itself.
        #expect(SSL_key_update(to.value.ssl, SSL_KEY_UPDATE_REQUESTED) == 1)
        _ = write(&to.value, [9])
        _ = to.value.flush()
        from.value.inputArrived(mayHaveEnded: false)
        #expect(read(&from.value).bytes == [9])
        _ = read(&from.value)
        // The next connection of the thread.
        _ = write(&other.value, [1, 2, 3])
        _ = other.value.flush()
        #expect(read(&otherEnd.value).bytes == [1, 2, 3])
        // And the first goes on, under the new keys.
        var received: [UInt8] = []
        for round in 0..<1000 where received.count < sent.count + 1 {
            to.value.inputArrived(mayHaveEnded: false)
            while case let (result, bytes) = read(&to.value), case .bytes = result { received += bytes }
            if case .sent = from.value.flush(), received.count == sent.count, round < 999 {
                _ = write(&from.value, [5])
                _ = from.value.flush()
            }
        }
        #expect(received == sent + [5])
    }

    @Test func `a connection leaves them for another thread and goes on`() throws {
        let (near, far) = (TLSBuffers(), TLSBuffers())
        let (from, to) = try pair(near, far, bufferBytes: 0)
        let left = to.value.leaveBuffers()
        #expect(left)
        _ = write(&from.value, [1, 2, 3])
        _ = from.value.flush()
        #expect(read(&to.value).bytes == [1, 2, 3])
        _ = write(&to.value, [4])
        from.value.inputArrived(mayHaveEnded: false)
        #expect(read(&from.value).bytes == [4])
    }

    @Test func `a peer that ended is noticed though its last bytes came short`() throws {
        let (near, far) = (TLSBuffers(), TLSBuffers())
        let (from, to) = try pair(near, far, bufferBytes: 0)
        to.value.readAhead()
        _ = write(&from.value, [7])
        from.value.shutdown()
        to.value.inputArrived(mayHaveEnded: true)
        #expect(read(&to.value).bytes == [7])
        guard case .endOfStream = read(&to.value).result else {
            Issue.record("the end was not seen")
            return
        }
    }
}
