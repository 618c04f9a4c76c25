import Glibc
import Testing

@testable import Capture

/// Recorded outputs beside the tests; `WEFT_RECORD=1` records them anew.
enum Golden {
    static func compare(_ text: String, _ name: String, file: String = #filePath, location: SourceLocation = #_sourceLocation) throws {
        let directory = file.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let path = "\(directory)/Golden/\(name)"
        if getenv("WEFT_RECORD") != nil {
            mkdir("\(directory)/Golden", 0o755)
            unlink(path)
            let fd = creat(path, 0o644)
            defer { close(fd) }
            let bytes = Array(text.utf8)
            #expect(write(fd, bytes, bytes.count) == bytes.count)
            return
        }
        let recorded = try #require(TextFile.read(path), "\(path) is missing; WEFT_RECORD=1 makes it", sourceLocation: location)
        let old = recorded.split(separator: "\n")
        let new = text.split(separator: "\n")
        for line in new where !old.contains(line) { Issue.record("not recorded: \(line)", sourceLocation: location) }
        for line in old where !new.contains(line) { Issue.record("recorded, but not there: \(line)", sourceLocation: location) }
        #expect(old == new, "the order differs", sourceLocation: location)
    }
}
