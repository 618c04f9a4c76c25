import Glibc
import Testing

/// Whole hosts in network namespaces, with real `weftd`s, real kernel rules and real peers. One at a time: they share two cores and measure times.
@Suite("The lab", .serialized, .needsRoot)
enum Lab {}

extension Trait where Self == ConditionTrait {
    /// Without root the lab's tests are skipped, and say so; where `CI=true` they run, and fail for want of it.
    static var needsRoot: Self {
        .enabled(if: getuid() == 0 || LabEnvironment.isCI, "needs root: it makes network namespaces and cgroups, and loads kernel rules")
    }
}

/// What the tests are run with.
enum LabEnvironment {
    static let isCI = variable("CI") == "true"

    static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// `weftd` and `weft`: from `WEFTD` and `WEFT`, or beside the test's own binary.
    static func program(_ name: String) throws -> String {
        if let given = variable(name.uppercased()) { return given }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), 4096) }
        // Under `swift test` the running program is the toolchain's, and the tests are a library in the build directory.
        let places = [String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)] + arguments()
        for place in places {
            var directory = place[...]
            while let slash = directory.lastIndex(of: "/") {
                directory = directory[..<slash]
                let candidate = "\(directory)/\(name)"
                if access(candidate, X_OK) == 0, candidate.contains("/.build/") { return candidate }
            }
        }
        throw LabFailure("\(name) is not built: run `make build`, or set \(name.uppercased())")
    }

    private static func arguments() -> [String] {
        CommandLine.arguments.filter { $0.hasPrefix("/") } + [String(#filePath.prefix(upTo: #filePath.range(of: "/Tests/Lab/"))) + "/.build/debug/x"]
    }
}

/// What went wrong in the lab itself, or in something that a test takes for granted.
struct LabFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

extension String {
    /// Where `part` begins; the end when it is not there.
    fileprivate func range(of part: String) -> String.Index {
        var index = startIndex
        while index < endIndex {
            if self[index...].hasPrefix(part) { return index }
            index = self.index(after: index)
        }
        return endIndex
    }
}
