import CLinux
import Glibc
import Testing

@testable import Netfilter

/// Whether the tests that change kernel state can run here. Elsewhere they are skipped with the reason; with CI=true they run anyway, and so fail.
enum Lab {
    static let reason: Comment = "needs root: it makes network namespaces and kernel rules"
    static let isPossible = geteuid() == 0 || getenv("CI").map { String(cString: $0) } == "true"
}

struct LabFailure: Error, CustomStringConvertible {
    let description: String
    init(_ text: String) { description = "\(text): \(String(cString: strerror(clinux_errno())))" }
}

/// Runs `body` in a network namespace of its own with loopback up; the namespace goes when the last socket and process in it is gone.
///
/// `body` is synchronous, so it stays on this thread, and only this thread enters the namespace. Programs started by `shell` in it inherit it.
func inNetworkNamespace<R>(_ body: () throws -> R) throws -> R {
    let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    guard home >= 0 else { throw LabFailure("cannot open the network namespace") }
    defer { close(home) }
    let newNetwork: CInt = 0x4000_0000  // CLONE_NEWNET
    guard clinux_unshare(newNetwork) == 0 else { throw LabFailure("cannot make a network namespace") }
    defer { if clinux_setns(home, 0) != 0 { fatalError("cannot return to the host's network namespace") } }
    try shell("ip link set lo up")
    return try body()
}

/// Standard output of a shell command run from this thread; throws when it fails.
@discardableResult
func shell(_ command: String) throws -> String {
    guard let pipe = popen("exec 2>&1; \(command)", "r") else { throw LabFailure("cannot run \(command)") }
    let output = contents(of: pipe)
    let status = pclose(pipe)
    guard status == 0 else { throw LabFailure("\(command) ended with \(status >> 8): \(output)") }
    return output
}
func contents(of pipe: UnsafeMutablePointer<FILE>) -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = fread(&chunk, 1, chunk.count, pipe)
        if count == 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += chunk[..<count]
    }
}

/// The namespace's rules as `nft` shows them, without counters' values and handles.
func nftList() throws -> String { try shell("nft -n -s list ruleset") }

/// Commits what `build` puts in a transaction.
func commit(_ tables: NFTables, _ build: (inout NFTransaction) -> Void) throws {
    var transaction = NFTransaction()
    build(&transaction)
    try tables.commit(transaction)
}

/// What a closure throws, for tests of its properties.
func netfilterError(_ body: () throws -> Void) -> NetfilterError? {
    do {
        try body()
        return nil
    } catch {
        return error as? NetfilterError
    }
}
