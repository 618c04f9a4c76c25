/// A refusal or failure as the management API tells it: the body `{"error": {...}}`, the HTTP status and the CLI's exit status come from it.
package struct APIError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What sort of failure it is; it travels as the HTTP status.
    package enum Kind: Int, Sendable, CaseIterable {
        /// The request itself is wrong; repeating it is useless.
        case invalid = 400
        /// The caller's user and groups don't allow it.
        case forbidden = 403
        case notFound = 404
        case methodNotAllowed = 405
        /// The agent's state doesn't allow it now: initialised already, not joined yet, a name in use.
        case conflict = 409
        case tooLarge = 413
        /// Too many requests at once.
        case busy = 429
        /// The agent tried and failed.
        case failed = 500
        /// A part of the agent, or another node, is not there yet.
        case unavailable = 503
        /// What was waited for did not come in time.
        case timedOut = 504
    }

    package var kind: Kind
    /// A short stable word for programs, as `token_expired`.
    package var code: String
    /// One sentence: what happened, with the names involved.
    package var message: String
    /// One sentence: what to do about it. Empty when there is nothing useful to say.
    package var remedy: String
    /// Who failed: `client`, `policy`, `internal`, `configuration`, `kernel`, `peer`, `upstream` or `downstream`.
    package var source: String

    @inline(never)
    package init(_ kind: Kind, code: String, _ message: String, remedy: String = "", source: String = "internal") {
        self.kind = kind
        self.code = code
        self.message = message
        self.remedy = remedy
        self.source = source
    }

    package var description: String { remedy.isEmpty ? message : "\(message); \(remedy)" }
}

/// The JSON form of an `APIError`; the kind is the response's status.
package struct ErrorBody: Codable, Sendable, Equatable {
    package struct Detail: Codable, Sendable, Equatable {
        package var code: String
        package var message: String
        package var remedy: String
        package var source: String
    }

    package var error: Detail

    package init(_ error: APIError) {
        self.error = Detail(code: error.code, message: error.message, remedy: error.remedy, source: error.source)
    }

    /// - Parameter status: of the response; one that no kind has counts as `failed`.
    package func apiError(status: Int) -> APIError {
        APIError(APIError.Kind(rawValue: status) ?? .failed, code: error.code, error.message, remedy: error.remedy, source: error.source)
    }
}
