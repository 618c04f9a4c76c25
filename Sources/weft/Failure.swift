import ManagementAPI

/// Why a command did not do what it was asked: the text on standard error and the exit status.
struct Failure: Error, Equatable {
    var status: ExitStatus
    var code: String
    var message: String
    var remedy: String
    var source: String

    init(_ status: ExitStatus, code: String, _ message: String, remedy: String = "", source: String = "client") {
        self.status = status
        self.code = code
        self.message = message
        self.remedy = remedy
        self.source = source
    }
    init(_ error: APIError) {
        self.init(ExitStatus(error.kind), code: error.code, error.message, remedy: error.remedy, source: error.source)
    }

    func report(asJSON: Bool) {
        if asJSON, let bytes = try? APIJSON.encode(ErrorBody(APIError(.failed, code: code, message, remedy: remedy, source: source))) {
            Terminal.error(String(decoding: bytes, as: UTF8.self) + "\n")
            return
        }
        Terminal.error("error: \(Text.printable(message))\n")
        if !remedy.isEmpty { Terminal.error("hint: \(Text.printable(remedy))\n") }
    }
}
