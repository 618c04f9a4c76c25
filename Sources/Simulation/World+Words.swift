import Platform
import SWIM

// For people: what happens at a node.
extension World {
    static func words(_ event: SWIMEvent) -> String {
        switch event {
        case .start: "its start"
        case .datagram(let bytes, let source, _): "a datagram of \(bytes.count) bytes from \(source)"
        case .request(_, let bytes, let source): "a request of \(bytes.count) bytes from \(source)"
        case .answer(_, let bytes): "an answer of \(bytes.count) bytes"
        case .dialFailed(_, let failure): "a stream that failed: \(failure)"
        case .streamRefused(let reason, let source): "a stream of \(source) that was refused: \(reason)"
        case .timer(let timer): "timer \(timer)"
        case .join(_, let addresses): "a join of \(addresses.map(\.description).joined(separator: ", "))"
        case .leave: "a leave"
        case .setMeta: "new tags"
        case .setCipher: "new keys"
        case .check(let name): "word that \(name) may be gone"
        case .overrun: "datagrams that it lost"
        }
    }

    static func words(_ effect: SWIMEffect) -> String? {
        switch effect {
        case .send(let bytes, let address): "sends \(bytes.count) bytes to \(address)"
        case .dial(_, let address, let request, _): "dials \(address) with \(request.count) bytes"
        case .member(let event): "\(event.member.name) \(event.kind.rawValue), incarnation \(event.member.incarnation), says \(event.by)"
        case .joinFinished(_, let contacted, let failures): "join: \(contacted) contacted, \(failures.count) failed"
        case .leaveFinished: "has left"
        case .refused(let reason, let source): "refuses \(source): \(reason.rawValue)"
        case .log(let line): line.text
        case .hangUp, .reply, .close, .setTimer, .cancelTimer: nil
        }
    }

    func tell(_ node: Node, _ event: SWIMEvent, _ effects: [SWIMEffect]) {
        print("\(now.inSeconds) \(node.name) <- \(Self.words(event))")
        for text in effects.compactMap(Self.words) { print("\(now.inSeconds) \(node.name) -> \(text)") }
    }
}
