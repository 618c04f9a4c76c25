import Glibc
import Logging
import Management
import ManagementAPI

/// A directory under /tmp for one test.
package struct Scratch: ~Copyable {
    package let path: String

    /// - Parameter mode: 0755, so that other users' processes reach what is in it.
    package init(mode: mode_t = 0o755) {
        var template = Array("/tmp/weft-test-XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil, "no temporary directory")
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chmod(path, mode)
    }

    deinit { Self.removeAll(path) }

    package static func removeAll(_ path: String) {
        guard let directory = opendir(path) else {
            unlink(path)
            return
        }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            if name != ".", name != ".." { removeAll("\(path)/\(name)") }
        }
        closedir(directory)
        rmdir(path)
    }

    package func names() -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var found: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            if name != ".", name != ".." { found.append(name) }
        }
        return found.sorted()
    }
}

/// Runs a server on `socket` while `body` runs, and stops it.
package func withServer<R>(
    _ agent: TestAgent = TestAgent(), socket: String, policy: AccessPolicy = AccessPolicy(), metricsPort: UInt16? = nil,
    logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, _ body: (ManagementServer) async throws -> R
) async throws -> R {
    let server = ManagementServer(
        agent: agent, socketPath: socket, policy: policy, metricsAddress: metricsPort.map { .init(port: $0) }, logger: logger)
    let (listening, source) = AsyncStream<Void>.makeStream()
    let task = Task { () -> APIError? in
        defer { source.finish() }
        do throws(APIError) {
            try await server.run { source.yield() }
            return nil
        } catch {
            return error
        }
    }
    for await _ in listening { break }
    do {
        let result = try await body(server)
        server.shutdown()
        if let error = await task.value { throw error }
        return result
    } catch {
        server.shutdown()
        // The server's own failure explains the test's.
        if let failure = await task.value { throw failure }
        throw error
    }
}
