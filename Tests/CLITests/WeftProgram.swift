import Glibc
import ManagementTestSupport
import Testing

/// The built program, beside the test's own.
struct WeftProgram: Sendable {
    static let path: String = {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { bytes in
            readlink("/proc/self/exe", bytes.baseAddress!.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        // Tests run inside a bundle that the test helper loads; the products' directory is on its command line.
        let executable = String(decoding: buffer[..<max(0, count)], as: UTF8.self)
        let candidates = [executable] + CommandLine.arguments
        for candidate in candidates {
            guard let slash = candidate.lastIndex(of: "/") else { continue }
            let path = candidate[..<slash] + "/weft"
            if access(String(path), X_OK) == 0 { return String(path) }
        }
        return "weft"
    }()

    var socket: String?

    func callAsFunction(_ arguments: String..., environment: [String: String] = [:], input: String? = nil) async -> Program.Result {
        await run(arguments, environment: environment, input: input)
    }

    func run(_ arguments: [String], environment: [String: String] = [:], input: String? = nil, prefix: [String] = []) async -> Program.Result {
        var environment = environment
        if let socket, environment["WEFT_SOCKET"] == nil { environment["WEFT_SOCKET"] = socket }
        return await Program.run(prefix + [Self.path] + arguments, environment: environment, input: input)
    }
}

/// Compares a text with a file that people have read and found good. WEFT_UPDATE_SNAPSHOTS=1 writes the files anew.
func expectSnapshot(_ text: String, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) {
    let file = #filePath
    let path = file[..<file.lastIndex(of: "/")!] + "/Snapshots/\(name)"
    if getenv("WEFT_UPDATE_SNAPSHOTS") != nil {
        let fd = open(String(path), O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        let bytes = Array(text.utf8)
        #expect(write(fd, bytes, bytes.count) == bytes.count, sourceLocation: sourceLocation)
        close(fd)
        return
    }
    #expect(text == contents(String(path)), "differs from Snapshots/\(name)", sourceLocation: sourceLocation)
}

/// A small file's text, or nil.
func contents(_ path: String) -> String? {
    let fd = open(path, O_RDONLY)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
        let count = read(fd, &buffer, buffer.count)
        guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer[..<count]
    }
}
