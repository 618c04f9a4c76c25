import CLinux
import Glibc
import Platform
import Proxy
import Reactor
import Settings
import Telemetry

/// One line for each flow, when it has ended.
///
/// Written by the control loop, in one call for a batch; a reader that is too slow costs lines, which are counted, never time.
@Control
final class AccessLog {
    private let fd: CInt
    private let ownsDescriptor: Bool
    private let format: AccessLogSection.Format
    private let names: Interner
    /// Lines that could not be written.
    private(set) var dropped: UInt64 = 0

    /// Nil when the log is switched off or its file cannot be opened.
    init?(_ section: AccessLogSection, names: Interner) {
        guard section.enabled else { return nil }
        switch section.destination {
        case .stdout:
            fd = 1
            ownsDescriptor = false
        case .file(let path):
            fd = clinux_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
            if fd < 0 { return nil }
            ownsDescriptor = true
        }
        format = section.format
        self.names = names
    }

    isolated deinit { if ownsDescriptor { close(fd) } }

    func write(_ flows: [FlowRecord]) {
        var out: [UInt8] = []
        out.reserveCapacity(flows.count * 400)
        let time = WallTime.now().rfc3339
        for flow in flows { line(flow, time, into: &out) }
        let written = out.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
        if written < out.count { dropped += UInt64(flows.count) }
    }

    private func line(_ flow: FlowRecord, _ time: String, into out: inout [UInt8]) {
        let duration = Double(flow.duration.nanoseconds / 1000) / 1000
        var fields: [(String, JSONText.Value)] = [
            ("time", .text(time)), ("direction", .text(flow.direction.word)), ("reason", .text(flow.end.code)), ("source", .text(flow.end.source)),
            ("src.addr", .text("\(flow.source)")), ("src.identity", .text(names[flow.sourceIdentity])), ("src.workload", .text(names[flow.workload])),
            ("dst.addr", .text("\(flow.destination)")), ("dst.endpoint", .text("\(flow.endpoint)")), ("dst.identity", .text(names[flow.destinationIdentity])),
            ("dst.service", .text(names[flow.service])), ("dst.node", .text(names[flow.node])), ("security", .text(flow.security.word)),
            ("bytes_sent", .number(flow.bytesSent)), ("bytes_received", .number(flow.bytesReceived)), ("duration_ms", .decimal(duration)),
            ("attempts", .number(UInt64(flow.attempts))),
        ]
        if flow.errno != 0 { fields.append(("error", .text(Errno.message(flow.errno)))) }
        if !flow.end.hint.isEmpty { fields.append(("hint", .text(flow.end.hint))) }
        if format == .json { return JSONText.object(fields, into: &out) }
        for (index, (key, value)) in fields.enumerated() {
            if index > 0 { out.append(0x20) }
            switch value {
            case .text(let text):
                if index > 0 { out += "\(key)=".utf8 }
                if text.utf8.contains(0x20) { JSONText.quote(text, into: &out) } else { out += (text.isEmpty ? "-" : text).utf8 }
            case .number(let number): out += "\(key)=\(number)".utf8
            case .decimal(let number): out += "\(key)=\(number)".utf8
            }
        }
        out.append(0x0a)
    }
}
