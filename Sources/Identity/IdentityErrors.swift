import FoundationEssentials
import MeshModel
import Platform

// The refusals that more than one file makes; the others stand where they happen.
extension MeshError {
    @inline(never)
    static func corrupt(_ path: String, _ why: String) -> MeshError {
        MeshError(
            .configuration, code: "state_corrupt", "\(path) cannot be used: \(why)",
            remedy: "restore the file from a backup, or run `weft leave` and join this node again")
    }

    @inline(never)
    static func storage(_ action: String, _ path: String, _ errno: Errno) -> MeshError {
        MeshError(
            .kernel, code: "state_io", "cannot \(action) \(path): \(errno)", remedy: "check the disk and the owner of the directory",
            retryable: true)
    }

    @inline(never)
    static func badRequest(_ what: String) -> MeshError {
        MeshError(
            .peer, code: "bad_request", what, remedy: "check that both nodes run versions of Weft that may be mixed (`weft version`)")
    }

    @inline(never)
    static func certificate(_ code: String, _ what: String, remedy: String) -> MeshError {
        MeshError(.peer, code: code, what, remedy: remedy)
    }
}

/// A failure as it travels in a reply.
package struct WireError: Codable, Sendable, Equatable {
    package var source: String
    package var code: String
    package var message: String
    package var remedy: String
    package var retryable: Bool

    package init(_ error: MeshError) {
        source = error.source.rawValue
        code = error.code
        message = error.message
        remedy = error.remedy
        retryable = error.retryable
    }

    package var error: MeshError {
        MeshError(MeshError.Source(rawValue: source) ?? .peer, code: code, message, remedy: remedy, retryable: retryable)
    }
}

/// A time span for people: the largest unit that gives a whole number of at least one.
func spoken(_ seconds: Int64) -> String {
    for (unit, name) in [(86_400, "day"), (3_600, "hour"), (60, "minute")] as [(Int64, String)] where seconds >= 2 * unit {
        return "\(seconds / unit) \(name)s"
    }
    return seconds == 1 ? "1 second" : "\(seconds) seconds"
}

extension WallTime {
    var date: Date { Date(timeIntervalSince1970: Double(seconds)) }
    init(_ date: Date) { self.init(seconds: Int64(date.timeIntervalSince1970.rounded(.down))) }
    static func + (time: WallTime, duration: Duration) -> WallTime {
        WallTime(seconds: time.seconds + duration.components.seconds, nanoseconds: time.nanoseconds)
    }
    /// RFC 3339 without the fraction, for messages.
    var spoken: String { String(rfc3339.prefix(19)) + "Z" }
}
