import Platform
import Testing

@testable import Reactor

@Suite("How well a datagram socket is read")
struct ReadingTests {
    @Test("what was lost is told with the next datagram, and stays so when there is none; what waited says how long")
    func lostAndWaited() throws {
        let reader = try Socket.udp(SocketAddress("127.0.0.1:0")!)
        Socket.watchReading(reader.raw, bytes: 4096)
        let address = try #require(Socket.localAddress(reader.raw))
        let sender = try Socket.udp(SocketAddress("127.0.0.1:0")!)
        var bytes = [UInt8](repeating: 7, count: 1000)
        func send() { _ = bytes.withUnsafeBytes { Socket.send(sender.raw, $0, to: address) } }

        var reading = Socket.Reading()
        /// Reads all that is there: how many.
        func drain() -> Int {
            var count = 0
            while case .bytes = bytes.withUnsafeMutableBytes({ Socket.receive(reader.raw, into: $0, &reading) }).0 { count += 1 }
            return count
        }
        for _ in 0..<100 { send() }
        let kept = drain()
        #expect((1..<100).contains(kept))
        send()
        #expect(drain() == 1)
        #expect(reading.lost == UInt32(100 - kept), "the call that found nothing changes nothing")
        send()
        #expect(drain() == 1)
        #expect(reading.lost == UInt32(100 - kept), "nothing more was lost")
        #expect(reading.waited >= .zero && reading.waited < .seconds(10))
    }
}
