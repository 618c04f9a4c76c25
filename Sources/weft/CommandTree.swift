import ArgumentParser
import ManagementAPI

/// The names of the commands, to put global options where the parser takes them and to say "did you mean" for a name that does not exist.
struct CommandTree {
    let name: String
    let children: [CommandTree]

    init(_ command: any ParsableCommand.Type) {
        name = command._commandName
        children = command.configuration.subcommands.map(CommandTree.init)
    }

    /// Options of every command, which may also stand before it: `weft --output json status`.
    private static let globals = ["--socket", "--output", "-o"]

    /// Moves global options from before a command's name to behind it.
    /// - Throws: a usage failure when a word stands where a command's name must, and is none.
    func normalise(_ arguments: [String]) throws(Failure) -> [String] {
        var moved: [String] = []
        var path: [String] = []
        var node = self
        var rest = arguments[...]
        while !node.children.isEmpty, let word = rest.first {
            if Self.globals.contains(word) {
                moved += rest.prefix(2)
                rest = rest.dropFirst(2)
            } else if Self.globals.contains(where: { word.hasPrefix("\($0)=") }) {
                moved.append(word)
                rest = rest.dropFirst()
            } else if word.hasPrefix("-") || (path.isEmpty && word == "help") {
                break
            } else if let child = node.children.first(where: { $0.name == word }) {
                path.append(word)
                node = child
                rest = rest.dropFirst()
            } else {
                throw node.unknown(word, below: path)
            }
        }
        return path + moved + rest
    }

    private func unknown(_ word: String, below path: [String]) -> Failure {
        let names = children.map(\.name)
        let command = (["weft"] + path).joined(separator: " ")
        let nearest = Suggestion.nearest(to: word, among: names).map { "did you mean `\(command) \($0)`?" }
        return Failure(
            .usage, code: "unknown_command", "there is no command `\(command) \(Text.printable(String(word.prefix(64))))`",
            remedy: nearest ?? "\(path.isEmpty ? "commands" : "its commands"): \(names.joined(separator: ", ")); see `\(command) --help`")
    }
}
