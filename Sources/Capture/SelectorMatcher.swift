import Glibc
import MeshModel

/// Which workloads a cgroup path belongs to, and which directories are worth looking into. Pure; paths are relative to the mount, as components.
package struct SelectorMatcher: Sendable {
    /// The deepest cgroup that the kernel rules can name: they test levels 1 to 8.
    package static let maximumDepth = 8

    private struct Pattern: Sendable {
        let workload: Int
        let kind: Kind
        let allowDelegated: Bool
        enum Kind: Sendable {
            case name(String)
            case path([String])
        }
    }
    private let patterns: [Pattern]
    /// A unit's cgroup has no other units below it unless its subtree is delegated, so only then is it worth a look.
    private let looksInsideUnits: Bool

    package init(_ workloads: [Workload]) {
        patterns = workloads.enumerated().map { index, workload in
            let kind: Pattern.Kind =
                switch workload.selector {
                case .unit(let name), .slice(let name): .name(name)
                case .cgroup(let path): .path(path.split(separator: "/").map(String.init))
                }
            return Pattern(workload: index, kind: kind, allowDelegated: workload.allowDelegated)
        }
        looksInsideUnits = patterns.contains { pattern in
            if case .name = pattern.kind { return pattern.allowDelegated }
            return false
        }
    }

    /// The workload whose selector matches this very directory. The first declared wins.
    package func workload(at path: [String]) -> Int? {
        guard let name = path.last else { return nil }
        return patterns.first { pattern in
            switch pattern.kind {
            case .name(let glob): Self.matches(glob, Self.unescaped(name))
            case .path(let globs): globs.count == path.count && Self.matches(globs, path)
            }
        }?.workload
    }

    /// Whether something below this directory could match.
    package func looksInside(_ path: [String]) -> Bool {
        // One level more than can be captured, so that what lies there is refused with the reason and not just missing.
        guard path.count <= Self.maximumDepth else { return false }
        return patterns.contains { pattern in
            switch pattern.kind {
            case .name: path.isEmpty || looksInsideUnits || !Self.isLeafUnit(path[path.count - 1])
            case .path(let globs): globs.count > path.count && Self.matches(Array(globs.prefix(path.count)), path)
            }
        }
    }

    private static func matches(_ globs: [String], _ path: [String]) -> Bool {
        zip(globs, path).allSatisfy { matches($0, $1) }
    }

    /// `fnmatch(3)` on one path segment. A backslash is an ordinary character: systemd writes `\x2d` in names.
    private static func matches(_ glob: String, _ name: String) -> Bool {
        glob == name || fnmatch(glob, name, FNM_NOESCAPE | FNM_PATHNAME) == 0
    }

    /// systemd puts `_` before names that the kernel uses itself (`cg_escape` in its cgroup-util.c).
    private static func unescaped(_ name: String) -> String { name.hasPrefix("_") ? String(name.dropFirst()) : name }

    private static func isLeafUnit(_ name: String) -> Bool {
        [".service", ".scope", ".socket", ".mount", ".swap"].contains { name.hasSuffix($0) }
    }
}
