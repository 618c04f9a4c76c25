import Glibc
import ManagementAPI

/// Where `weft join` finds its token.
enum TokenSource {
    struct Token: Equatable {
        var text: String
        /// Other users could read it in the process list.
        var isVisible: Bool
    }
    /// A token is some hundred bytes.
    static let maximumLength = 64 << 10

    static func read(argument: String?, file: String?) throws(Failure) -> Token {
        if let argument, argument != "-" { return Token(text: try clean(argument, "the argument"), isVisible: true) }
        if let path = file ?? argument {
            return Token(text: try clean(try contents(path), path == "-" ? "standard input" : path), isVisible: false)
        }
        if let value = getenv("WEFT_TOKEN") { return Token(text: try clean(String(cString: value), "WEFT_TOKEN"), isVisible: false) }
        if isatty(STDIN_FILENO) == 0 { return Token(text: try clean(try contents("-"), "standard input"), isVisible: false) }
        throw Failure(
            .usage, code: "no_token", "there is no token",
            remedy: "run `weft token create --node NAME` on the authority's node, and give its output to `weft join --token-file -` here")
    }

    /// One word from a file, or from standard input for "-".
    static func word(from path: String, what: String) throws(Failure) -> String {
        let words = try contents(path, what).split(whereSeparator: \.isWhitespace)
        guard words.count == 1 else {
            throw Failure(.usage, code: "no_word", "there is no \(what) on standard input, or more than one word", remedy: "pipe the \(what) alone")
        }
        return String(words[0])
    }

    private static func clean(_ text: String, _ origin: String) throws(Failure) -> String {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count == 1 else {
            let found = words.isEmpty ? "is empty" : "is not one word"
            throw Failure(
                .usage, code: "bad_token", "the token from \(origin) \(found)", remedy: "copy the whole word that `weft token create` printed")
        }
        return String(words[0])
    }

    private static func contents(_ path: String, _ what: String = "token") throws(Failure) -> String {
        do throws(InputError) {
            return try InputText.read(path, maximum: maximumLength)
        } catch {
            switch error {
            case .errno(let code): throw unreadable(path, code, what)
            case .tooLong: throw Failure(.usage, code: "bad_token", "\(path) is no \(what): it has more than \(maximumLength) bytes")
            }
        }
    }

    private static func unreadable(_ path: String, _ code: CInt, _ what: String) -> Failure {
        Failure(
            code == EACCES ? .permission : .failed, code: "token_file",
            "cannot read the \(what) from \(path == "-" ? "standard input" : path): \(String(cString: strerror(code)))")
    }
}
