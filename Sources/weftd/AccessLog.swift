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
    private var lines: LogLines
    private let names: Interner
    private var texts: [NameID: [UInt8]] = [:]
    /// Names that are kept as text; more begin anew.
    private static let textBound = 10_000
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
        lines = LogLines(section.format == .json ? .json : .words)
        self.names = names
    }

    isolated deinit { if ownsDescriptor { close(fd) } }

    func write(_ flows: [FlowRecord]) {
        lines.removeAll()
        let time = LogLines.encoded(WallTime.now().rfc3339, lines.format)
        for flow in flows { line(flow, time) }
        let written = lines.bytes.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
        if written < lines.bytes.count { dropped += UInt64(flows.count) }
    }

    private func line(_ flow: FlowRecord, _ time: [UInt8]) {
        lines.begin()
        lines.field("time", encoded: time)
        lines.field("direction", flow.direction.word)
        lines.field("reason", flow.end.code)
        lines.field("source", flow.end.source)
        lines.field("src.addr", flow.source)
        lines.field("src.identity", encoded: text(flow.sourceIdentity))
        lines.field("src.workload", encoded: text(flow.workload))
        lines.field("dst.addr", flow.destination)
        lines.field("dst.endpoint", flow.endpoint)
        lines.field("dst.identity", encoded: text(flow.destinationIdentity))
        lines.field("dst.service", encoded: text(flow.service))
        lines.field("dst.node", encoded: text(flow.node))
        lines.field("security", flow.security.word)
        lines.field("bytes_sent", flow.bytesSent)
        lines.field("bytes_received", flow.bytesReceived)
        lines.field("duration_ms", thousandths: UInt64(max(0, flow.duration.nanoseconds / 1000)))
        lines.field("attempts", UInt64(flow.attempts))
        if flow.errno != 0 { lines.field("error", Errno.message(flow.errno)) }
        if !flow.end.hint.isEmpty { lines.field("hint", flow.end.hint) }
        lines.end()
    }

    /// The text behind a number as it stands in a line. Names are few and come with every flow.
    private func text(_ id: NameID) -> [UInt8] {
        if let known = texts[id] { return known }
        let encoded = LogLines.encoded(names[id], lines.format)
        if texts.count >= Self.textBound { texts.removeAll(keepingCapacity: true) }
        texts[id] = encoded
        return encoded
    }
}
