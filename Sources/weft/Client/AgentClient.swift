import Glibc
import ManagementAPI
import NIOCore
import NIOHTTP1
import NIOPosix

/// Talks to one agent over its Unix socket: one connection for each call.
struct AgentClient: Sendable {
    static let defaultSocket = "/run/weft/weft.sock"
    /// The largest answer that is read, in bytes.
    static let maximumAnswer = 64 << 20
    /// How long an answer may take that nobody waits for on purpose.
    static let defaultTimeout = TimeAmount.seconds(30)

    let socket: String

    /// Calls an operation and reads its answer.
    // Inlined into the commands, it makes the optimiser of Swift 6.3.1 crash while it splits their coroutines.
    @inline(never)
    func call<A: Decodable>(
        _ route: Route, parameter: String = "", query: [(String, String?)] = [], body: (any APIRequest)? = nil, timeout: TimeAmount = defaultTimeout
    ) async throws -> (answer: A, raw: [UInt8]) {
        let raw = try await bytes(route, parameter: parameter, query: query, body: body, timeout: timeout)
        return (try APIJSON.decodeAnswer(A.self, from: raw), raw)
    }

    /// - Throws: a `Failure` when no agent answers, the agent's `APIError` when it refuses.
    func bytes(
        _ route: Route, parameter: String = "", query: [(String, String?)] = [], body: (any APIRequest)? = nil, timeout: TimeAmount = defaultTimeout
    ) async throws -> [UInt8] {
        var target = route.path(PercentEncoding.encode(parameter))
        let pairs = query.compactMap { name, value in value.map { "\(name)=\(PercentEncoding.encode($0))" } }
        if !pairs.isEmpty { target += "?" + pairs.joined(separator: "&") }
        let payload = try body.map { try APIJSON.encode($0) } ?? []
        let answer = try await exchange(route.method, target, payload, timeout)
        if (200..<300).contains(answer.status) { return answer.body }
        guard let error = try? APIJSON.decodeAnswer(ErrorBody.self, from: answer.body) else {
            throw Failure(
                .failed, code: "bad_answer", "the agent at \(socket) answered \(answer.status) without a reason",
                remedy: "is something else than weftd listening there?", source: "internal")
        }
        throw error.apiError(status: answer.status)
    }

    private func exchange(_ method: Route.Method, _ target: String, _ body: [UInt8], _ timeout: TimeAmount) async throws -> HTTPAnswer {
        let group = MultiThreadedEventLoopGroup.singleton
        let promise = group.any().makePromise(of: HTTPAnswer.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: group)
                .connectTimeout(.seconds(5))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        try channel.pipeline.syncOperations.addHandler(AnswerHandler(promise: promise, limit: Self.maximumAnswer))
                    }
                }
                .connect(unixDomainSocketPath: socket).get()
        } catch {
            promise.fail(error)
            throw connectFailure(error)
        }
        let deadline = channel.eventLoop.scheduleTask(in: timeout) { promise.fail(AnswerError.timeout) }
        var head = HTTPRequestHead(version: .http1_1, method: HTTPMethod(rawValue: method.rawValue), uri: target)
        head.headers = ["host": "localhost", "connection": "close", "content-length": "\(body.count)", "user-agent": "weft/\(WeftVersion.current)"]
        if !body.isEmpty { head.headers.add(name: "content-type", value: "application/json") }
        // An error of writing shows up as a broken answer too, and that one is reported.
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if !body.isEmpty { channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil) }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        defer {
            deadline.cancel()
            channel.close(promise: nil)
        }
        do { return try await promise.futureResult.get() } catch { throw answerFailure(error, timeout) }
    }

    // MARK: Failures

    private func connectFailure(_ error: any Error) -> Failure {
        switch (error as? IOError)?.errnoCode {
        case ENOENT, ECONNREFUSED, ENOTDIR:
            return Failure(
                .unavailable, code: "not_running", "weftd is not running at \(socket)",
                remedy: "is weft.service started (`systemctl status weft`)? choose another agent with --socket or WEFT_SOCKET")
        case EACCES, EPERM:
            return Failure(
                .permission, code: "forbidden", "you (user \(geteuid())) may not open \(socket)",
                remedy: group.map {
                    "use sudo, or join group \($0) for reading, and weft-admin too for changes: `sudo usermod -aG \($0) USER`, then log in again"
                } ?? "use sudo")
        case .some, .none:
            let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
            return Failure(
                .unavailable, code: "not_running", "cannot reach the agent at \(socket): \(reason)",
                remedy: "choose another agent with --socket or WEFT_SOCKET")
        }
    }

    /// The group that may open the socket; nil when there is none but root's.
    private var group: String? {
        var info = stat()
        guard stat(socket, &info) == 0 else { return "weft" }
        guard info.st_gid != 0, info.st_mode & 0o060 == 0o060, let entry = getgrgid(info.st_gid) else { return nil }
        return String(cString: entry.pointee.gr_name)
    }

    private func answerFailure(_ error: any Error, _ timeout: TimeAmount) -> Failure {
        switch error as? AnswerError {
        case .timeout:
            Failure(
                .timedOut, code: "timeout", "the agent at \(socket) did not answer within \(timeout.nanoseconds / 1_000_000_000) seconds",
                remedy: "`systemctl status weft` shows whether it hangs", source: "internal")
        case .tooLarge:
            Failure(.failed, code: "bad_answer", "the agent's answer is larger than \(Self.maximumAnswer) bytes", source: "internal")
        case .broken, .none:
            Failure(
                .unavailable, code: "broken_answer", "the agent at \(socket) closed the connection without an answer",
                remedy: "did it stop just now? `journalctl -u weft` says more", source: "internal")
        }
    }
}
