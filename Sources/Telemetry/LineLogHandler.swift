import Glibc
import Logging
import Platform

/// Log lines on standard error: `<N>label: message k=v` for journald (sd-daemon(3) priorities), text with a time for a terminal, or JSON.
package struct LineLogHandler: LogHandler {
    package enum Format: String, Sendable, CaseIterable { case journal, text, json }

    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let format: Format
    private let fd: CInt

    package init(label: String, format: Format, level: Logger.Level, fd: CInt = 2) {
        self.label = label
        self.format = format
        self.logLevel = level
        self.fd = fd
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var merged = metadata
        if let provided = metadataProvider?.get() { merged.merge(provided) { $1 } }
        if let own = event.metadata { merged.merge(own) { $1 } }
        let pairs = merged.sorted { $0.key < $1.key }
        var out: [UInt8] = []
        switch format {
        case .json:
            let fields: [(String, JSONText.Value)] = [
                ("time", .text(WallTime.now().rfc3339)), ("level", .text("\(event.level)")), ("logger", .text(label)), ("message", .text("\(event.message)")),
            ]
            JSONText.object(fields + pairs.map { ($0.key, .text("\($0.value)")) }, into: &out)
        case .journal, .text:
            out += (format == .journal ? "<\(Self.priority(event.level))>" : "\(WallTime.now().rfc3339) \(Self.word(event.level)) ").utf8
            out += "\(label): \(event.message)".utf8
            for (key, value) in pairs { out += " \(key)=\(value)".utf8 }
            for index in out.indices where out[index] == 0x0a { out[index] = 0x20 }
            out.append(0x0a)
        }
        // One call a line, so that lines of several threads do not mix.
        _ = out.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
    }

    private static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .critical: 2
        case .error: 3
        case .warning: 4
        case .notice: 5
        case .info: 6
        case .debug, .trace: 7
        }
    }

    private static func word(_ level: Logger.Level) -> String {
        let text = "\(level)".uppercased()
        return text + String(repeating: " ", count: max(0, 8 - text.count))
    }
}
