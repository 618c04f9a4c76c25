import Glibc
import ManagementTestSupport
import Testing

@testable import weft

@Suite("The program's own documentation")
struct HelpTests {
    private static var root: String {
        var path = #filePath
        for _ in 0..<3 { path = String(path[..<path.lastIndex(of: "/")!]) }
        return path
    }

    /// Every command, as the words that call it.
    private static let commands: [[String]] = {
        func all(_ tree: CommandTree, _ path: [String]) -> [[String]] { [path] + tree.children.flatMap { all($0, path + [$0.name]) } }
        return all(CommandTree(Weft.self), [])
    }()

    @Test func `is help for every command, as it was read and found good`() async {
        var text = ""
        for command in Self.commands {
            let result = await WeftProgram().run(command + ["--help"], environment: ["COLUMNS": "100"])
            #expect(result.status == 0)
            text += "=== \((["weft"] + command).joined(separator: " "))\n\(result.output)\n"
        }
        expectSnapshot(text, "help.txt")
    }

    @Test(arguments: [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])])
    func `has completions that the shell can read`(_ shell: String, _ check: [String]) async throws {
        let scratch = Scratch()
        let made = await Program.run(["sh", "\(Self.root)/packaging/completions/generate.sh", WeftProgram.path, scratch.path])
        try #require(made.status == 0, "\(made.error)")
        #expect(scratch.names() == ["_weft", "weft", "weft.fish"])
        let file = "\(scratch.path)/\(["bash": "weft", "zsh": "_weft", "fish": "weft.fish"][shell]!)"
        for word in ["deregister", "token-file", "systemd-directory", "connections"] {
            #expect((contents(file)?.contains(word) == true) == (word != "systemd-directory"), "\(word)")
        }
        // A shell that is not installed cannot have users here either; bash always is.
        let exists = await Program.run([check[0], "-c", "true"])
        guard shell == "bash" || exists.status == 0 else { return }
        let result = await Program.run(check + [file])
        #expect(result.status == 0, "\(result.error)")
    }

    @Test func `completes a command's name in bash`() async throws {
        let scratch = Scratch()
        _ = await Program.run(["sh", "\(Self.root)/packaging/completions/generate.sh", WeftProgram.path, scratch.path])
        let script = """
            source \(scratch.path)/weft
            COMP_WORDS=(weft capture re); COMP_CWORD=2; COMP_LINE="weft capture re"; COMP_POINT=${#COMP_LINE}
            _weft weft re capture
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let result = await Program.run(["bash", "-c", script])
        let found = result.output.split(whereSeparator: \.isWhitespace).map(String.init)
        #expect(found.contains("ready") && found.contains("remove") && !found.contains("list"), "\(result)")
    }

    @Test func `has a manual page that is up to date`() async throws {
        try #require((await Program.run(["python3", "-c", "import json"])).status == 0, "needs python3")
        let made = await Program.run(["python3", "\(Self.root)/packaging/man/generate.py", WeftProgram.path])
        #expect(made.status == 0, "\(made.error)")
        #expect(
            made.output == contents("\(Self.root)/packaging/man/weft.1"), "run packaging/man/generate.py .build/debug/weft > packaging/man/weft.1")
    }

    @Test(arguments: ["weft.1", "weftd.8"]) func `has manual pages without an error`(_ page: String) async throws {
        guard (await Program.run(["groff", "--version"])).status == 0 else { return }
        let result = await Program.run(["groff", "-man", "-Tutf8", "-P-cbou", "-ww", "\(Self.root)/packaging/man/\(page)"])
        #expect(result.status == 0)
        #expect(result.error == "")
        #expect(result.output.contains("SEE ALSO"), "it has its last section")
    }
}
