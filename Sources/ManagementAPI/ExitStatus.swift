/// Exit statuses of `weft`, after sysexits(3) where it has one.
package enum ExitStatus: Int32, Sendable, CaseIterable {
    case success = 0
    /// The agent refused or failed; standard error has the reason.
    case failed = 1
    /// The command line is wrong.
    case usage = 64
    /// No agent answers on the socket.
    case unavailable = 69
    /// What was waited for did not come in time; trying again may help.
    case timedOut = 75
    /// The user may not do this.
    case permission = 77

    package init(_ kind: APIError.Kind) {
        switch kind {
        case .forbidden: self = .permission
        case .busy, .timedOut: self = .timedOut
        case .invalid, .notFound, .methodNotAllowed, .conflict, .tooLarge, .failed, .unavailable: self = .failed
        }
    }
}
