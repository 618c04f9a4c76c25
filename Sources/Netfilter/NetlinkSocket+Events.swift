import CLinux
import Glibc
import Platform

extension NetlinkSocket {
    /// The events of a subscription that wait, at most `most` or a few more; never blocks.
    /// - Parameters:
    ///   - name: of what is watched, for the error.
    ///   - overflow: stands in the list where the kernel dropped events because nobody read them in time.
    func drain<Event>(_ name: String, most: Int, overflow: Event, _ decode: (NetlinkMessage) -> Event?) throws(NetfilterError) -> [Event] {
        var events: [Event] = []
        while events.count < most {
            do {
                guard let datagram = try receive() else { break }
                NetlinkMessage.forEach(in: datagram) { message in
                    if let event = decode(message) { events.append(event) }
                    return true
                }
            } catch {
                guard error.code == ENOBUFS else { throw NetfilterError(.watch, .netlinkSocket, name, error) }
                events.append(overflow)
            }
        }
        return events
    }
}
