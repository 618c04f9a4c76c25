import Glibc
import HTTPWire
import Platform
import Testing

@Suite struct `Steady state` {
    /// Two ends that move bytes for ever, without the bookkeeping of `Peer`.
    private final class Endless {
        let role: HTTP2Role
        var session: HTTP2Session!
        var events = HTTP2EventBuffer()
        var received = 0
        var dataEvents = 0

        init(_ role: HTTP2Role) {
            self.role = role
            session = HTTP2Session(
                role: role,
                source: HTTP2DataSource(context: nil) { _, _, _, into, room in
                    memset(into!, 7, room)
                    return HTTP2Pull.bytes(room).rawValue
                })
        }

        func feed(_ bytes: UnsafeRawBufferPointer) {
            _ = session.feed(bytes, at: MonotonicTime(nanoseconds: 1), events: &events)
            for index in 0..<events.count {
                let event = events[index]
                if event.kind == .headers, role == .server {
                    session.setToken(event.streamID, 1, events: &events)
                    session.respond(event.streamID, status: 200, headers: HTTP2HeaderList(), endStream: false)
                }
                guard event.kind == .data else { continue }
                dataEvents += 1
                received += Int(event.length)
                session.consume(event.streamID, Int(event.length))
            }
            events.removeAll()
        }
    }

    /// In a process of its own, where no other test allocates.
    @Test func `a hundred thousand data events leave the heap as it was`() async {
        await #expect(processExitsWith: .success) {
            let client = Endless(.client), server = Endless(.server)
            _ = client.session.connect(authority: "a:1", headers: HTTP2HeaderList(), token: 1)
            func run(_ events: Int) {
                let target = server.dataEvents + events
                while server.dataEvents < target {
                    for _ in 0..<8 { if let chunk = client.session.nextOutput(events: &client.events) { server.feed(chunk) } }
                    for _ in 0..<8 { if let chunk = server.session.nextOutput(events: &server.events) { client.feed(chunk) } }
                }
            }
            run(2_000)
            let before = heapInUse()
            run(100_000)
            let growth = heapInUse() - before
            #expect(before > 0)
            #expect(server.received > 1_000_000_000)
            #expect(growth < 16_384, "the heap grew by \(growth) bytes over 100,000 events")
        }
    }
}

/// Bytes that malloc has given out in all arenas, from glibc's malloc_info(3) (which the Glibc module does not show).
private func heapInUse() -> Int {
    typealias Info = @convention(c) (CInt, UnsafeMutablePointer<FILE>?) -> CInt
    guard let symbol = dlsym(nil, "malloc_info") else { return 0 }
    var text: UnsafeMutablePointer<CChar>?
    var length = 0
    guard let stream = open_memstream(&text, &length) else { return 0 }
    _ = unsafeBitCast(symbol, to: Info.self)(0, stream)
    fclose(stream)
    defer { free(text) }
    guard let text else { return 0 }
    // The totals stand after the last arena: `<total type="fast" … size="n"/>`, `"rest"` (both free) and `<system type="current" size="n"/>`.
    let xml = String(cString: text)
    guard let tail = xml.split(separator: "</heap>").last else { return 0 }
    func size(_ tag: String) -> Int {
        guard let line = tail.split(separator: "\n").first(where: { $0.hasPrefix(tag) }),
            let value = line.split(separator: "size=\"").last?.split(separator: "\"").first
        else { return 0 }
        return Int(value) ?? 0
    }
    return size("<system type=\"current\"") + size("<total type=\"mmap\"") - size("<total type=\"fast\"") - size("<total type=\"rest\"")
}
