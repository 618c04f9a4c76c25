@testable import HTTPWire
import Testing

@Suite struct `Tunnel exchange` {
    @Test func `a CONNECT carries its authority and headers, and the answer its status`() {
        let client = Peer(.client), server = Peer(.server)
        server.answer = Array("pong".utf8)
        client.connect(
            "[2001:db8::7]:9080", token: 7, sending: Array("ping".utf8), headers: [("forwarded", "for=\"192.0.2.9:41000\""), ("baggage", "a=b")])
        pump(client, server)
        #expect(
            server.requests == [[":method": "CONNECT", ":authority": "[2001:db8::7]:9080", "forwarded": "for=\"192.0.2.9:41000\"", "baggage": "a=b"]])
        #expect(client.flows[7]?.status == 200)
        #expect(client.flows[7]?.incoming == Array("pong".utf8))
        #expect(server.flows[1001]?.incoming == Array("ping".utf8))
        #expect(client.flows[7]?.ended?.kind == .closed)
        #expect(server.flows[1001]?.ended?.kind == .closed)
        #expect(client.activeStreams == 0)
        #expect(server.activeStreams == 0)
    }

    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
    func `every byte of twenty flows arrives in both directions, however the bytes are cut`(seed: UInt64) {
        var random = Seeded(seed)
        let client = Peer(.client), server = Peer(.server)
        server.answer = random.bytes(700_000)
        var sent: [UInt64: [UInt8]] = [:]
        for token in 1...20 as ClosedRange<UInt64> {
            sent[token] = random.bytes(Int.random(in: 0...600_000, using: &random))
            client.connect("10.0.0.1:\(token)", token: token, sending: sent[token]!)
        }
        pump(client, server) { _ in Int.random(in: 1...40_000, using: &random) }
        for token in 1...20 as ClosedRange<UInt64> {
            #expect(same(client.flows[token]!.incoming, server.answer))
            #expect(client.flows[token]!.sawEnd)
        }
        let received = server.flows.values.map(\.incoming)
        #expect(received.count == 20)
        #expect(received.allSatisfy(Set(sent.values).contains) && Set(received).count == 20)
        #expect(client.activeStreams == 0 && server.activeStreams == 0)
    }

    /// The owner takes what a feed brought before the next one, and other sessions use the same buffer.
    @Test func `a header block that comes with several feeds has all its fields`() {
        for cut in 1..<120 {
            let client = Peer(.client), server = Peer(.server)
            client.connect("192.0.2.7:80", token: 1, headers: [("forwarded", "for=192.0.2.9"), ("baggage", "a=b")])
            client.connect("192.0.2.8:80", token: 2, headers: [("forwarded", "for=192.0.2.10"), ("baggage", "c=d")])
            let bytes = client.output()
            server.feed(Array(bytes.dropLast(cut)))
            server.feed(Array(bytes.suffix(cut)))
            #expect(
                server.requests == [
                    [":method": "CONNECT", ":authority": "192.0.2.7:80", "forwarded": "for=192.0.2.9", "baggage": "a=b"],
                    [":method": "CONNECT", ":authority": "192.0.2.8:80", "forwarded": "for=192.0.2.10", "baggage": "c=d"],
                ], "the last \(cut) bytes on their own")
        }
    }

    @Test func `one byte at a time is enough`() {
        var random = Seeded(9)
        let client = Peer(.client), server = Peer(.server)
        server.answer = random.bytes(3000)
        let request = random.bytes(2000)
        client.connect(token: 1, sending: request)
        pump(client, server) { _ in 1 }
        #expect(server.requests.first?[":authority"] == "192.0.2.7:80")
        #expect(same(client.flows[1]?.incoming, server.answer))
        #expect(same(server.flows[1001]?.incoming, request))
    }

    @Test func `a full DATA frame with its header fills TLS records exactly, for a peer that takes less too`() {
        let client = Peer(.client), server = Peer(.server)
        client.connect(token: 1, sending: [UInt8](repeating: 1, count: 200_000))
        pump(client, server)
        #expect(client.largestChunk == 4 * 16_384)
        #expect(HTTP2Session.dataPayload(largest: 16_384) == 16_384 - 9)
        #expect(HTTP2Session.dataPayload(largest: 60_000) == 3 * 16_384 - 9)
        #expect(HTTP2Session.dataPayload(largest: 1 << 20) == 4 * 16_384 - 9)
    }

    @Test func `each direction ends on its own`() {
        let client = Peer(.client), server = Peer(.server)
        server.onRequest = { server, stream in _ = server.accept(stream, ends: false) }
        client.connect(token: 1, sending: [1, 2, 3])
        pump(client, server)
        #expect(server.flows[1001]!.sawEnd)
        #expect(client.flows[1]!.ended == nil)
        #expect(client.activeStreams == 1)
        server.flows[1001]!.outgoing = [9, 9]
        server.flows[1001]!.ends = true
        server.session.resume(1)
        pump(client, server)
        #expect(same(client.flows[1]!.incoming, [9, 9]))
        #expect(client.flows[1]!.ended?.kind == .closed)

        // And the other way: the server ends first.
        client.connect(token: 2, sending: [], ends: false)
        server.onRequest = nil
        pump(client, server)
        #expect(client.flows[2]!.sawEnd)
        #expect(client.flows[2]!.ended == nil)
        client.flows[2]!.outgoing = [5]
        client.flows[2]!.ends = true
        client.session.resume(client.streams[2]!)
        pump(client, server)
        #expect(same(server.flows[1002]!.incoming, [5]))
        #expect(server.flows[1002]!.ended?.kind == .closed)
    }

    @Test func `a refusal needs no data`() {
        let client = Peer(.client), server = Peer(.server)
        server.onRequest = { server, stream in
            var headers = HTTP2HeaderList()
            headers.add("weft-error", "policy")
            let answered = server.session.respond(stream, status: 403, headers: headers, endStream: true)
            #expect(answered)
        }
        client.connect(token: 1)
        pump(client, server)
        #expect(client.flows[1]?.status == 403)
        #expect(client.flows[1]?.ended?.kind == .closed)
    }

    @Test func `data, end and reset that come with their request in one read reach its owner`() {
        let client = Peer(.client), server = Peer(.server)
        pump(client, server)
        client.connect(token: 1, sending: [1, 2, 3])
        client.connect(token: 2, sending: [4, 5, 6], ends: false)
        var wire = client.output()
        client.session.reset(client.streams[2]!, code: HTTP2Code.cancel)
        wire += client.output()
        server.feed(wire)
        #expect(same(server.flows[1001]?.incoming, [1, 2, 3]))
        #expect(server.flows[1001]?.sawEnd == true)
        #expect(same(server.flows[1002]?.incoming, [4, 5, 6]))
        #expect(server.flows[1002]?.ended?.kind == .reset)
    }

    @Test func `informational answers are skipped and trailers are told apart`() {
        let client = Peer(.client)
        client.connect(token: 1, ends: false)
        _ = client.output()
        client.feed(Raw.settings)
        client.feed(Raw.frame(1, flags: 4, stream: 1, Raw.literal(":status", "103")))
        client.feed(Raw.frame(1, flags: 4, stream: 1, Raw.literal(":status", "200")))
        client.feed(Raw.frame(1, flags: 5, stream: 1, Raw.literal("grpc-status", "0")))
        #expect(client.flows[1]?.headerCount == 1)
        #expect(client.flows[1]?.status == 200)
        #expect(client.flows[1]?.trailers == ["grpc-status": "0"])
        #expect(client.flows[1]?.sawEnd == true)
        #expect(client.ignoredFrames == 1)
    }

    @Test func `a ping brings its payload back`() {
        let client = Peer(.client), server = Peer(.server)
        client.session.ping(0x1122_3344_5566_7788)
        pump(client, server)
        #expect(client.pings == [0x1122_3344_5566_7788])
    }
}
