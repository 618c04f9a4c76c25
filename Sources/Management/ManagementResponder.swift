import HTTPTypes
import Hummingbird
import Logging
import ManagementAPI
import NIOCore

/// A request's channel, from which the caller's identity is read.
struct ManagementContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel
    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
    }
}

/// Answers every request of the Unix socket: who is calling, which route, may they, what does the agent say. All failures leave as JSON.
struct ManagementResponder: HTTPResponder {
    typealias Context = ManagementContext

    let dispatcher: Dispatcher
    let policy: AccessPolicy
    let inFlight: InFlight
    let logger: Logger

    func respond(to request: Request, context: Context) async throws -> Response {
        guard inFlight.begin() else {
            let stopping = APIError(.unavailable, code: "agent_stopping", "the agent is stopping", remedy: "try again when it runs")
            return Replies.failure(stopping, closing: true) {}
        }
        let done: @Sendable () -> Void = { [inFlight] in inFlight.end() }
        do throws(APIError) {
            return Replies.success(try await answer(request, context), done)
        } catch {
            if error.kind == .tooLarge {
                // The rest of the body would be read to its end otherwise, however long it is.
                context.channel.eventLoop.scheduleTask(in: .seconds(1)) { context.channel.close(promise: nil) }
            }
            return Replies.failure(error, closing: error.kind == .tooLarge, done)
        }
    }

    private func answer(_ request: Request, _ context: Context) async throws(APIError) -> Answer {
        let peer = try await PeerCredentials.of(context.channel)
        let route: Route
        let parameter: String
        do throws(APIError) {
            (route, parameter) = try RequestReader.route(request)
        } catch {
            // What exists is no business of those who may not even read.
            try policy.check(peer, for: .read)
            throw error
        }
        do throws(APIError) {
            let standing = try policy.check(peer, for: route.access)
            let call = Call(
                route: route, parameter: parameter, query: try RequestReader.query(request, route), body: try await RequestReader.body(request),
                pid: peer.pid, standing: standing)
            let answer = try await dispatcher.answer(call)
            if route.access == .change { audit(route, parameter, peer, nil) }
            return answer
        } catch {
            if route.access != .read { audit(route, parameter, peer, error) }
            throw error
        }
    }

    /// One line for every change that was made or refused. What a workload may do for itself it may do often: of that only refusals.
    private func audit(_ route: Route, _ parameter: String, _ peer: PeerCredentials, _ error: APIError?) {
        let what = parameter.isEmpty ? route.rawValue : "\(route.rawValue) \(parameter.prefix(128))"
        logger.notice(
            "management: \(what) by uid \(peer.uid) pid \(peer.pid): \(error?.message ?? "done")",
            metadata: ["operation": "\(route.rawValue)", "uid": "\(peer.uid)", "pid": "\(peer.pid)", "result": "\(error?.code ?? "ok")"])
    }
}

/// Answers the metrics port: `GET /metrics` and nothing else, for anyone who can reach it.
struct MetricsResponder: HTTPResponder {
    typealias Context = ManagementContext

    let dispatcher: Dispatcher
    let inFlight: InFlight

    func respond(to request: Request, context: Context) async throws -> Response {
        guard inFlight.begin() else {
            return Replies.failure(APIError(.unavailable, code: "agent_stopping", "the agent is stopping"), closing: true) {}
        }
        let done: @Sendable () -> Void = { [inFlight] in inFlight.end() }
        do throws(APIError) {
            guard request.uri.path == Route.getMetrics.path else {
                throw APIError(
                    .notFound, code: "unknown_path", "there is no \(request.uri.path.prefix(128)) on this port",
                    remedy: "it serves /metrics only; the API is on the agent's Unix socket", source: "client")
            }
            guard request.method == .get else { throw RequestReader.wrongMethod(request, [.get]) }
            return Replies.success(
                try await dispatcher.answer(Call(route: .getMetrics, parameter: "", query: [:], body: [], pid: 0)), done)
        } catch {
            return Replies.failure(error, closing: false, done)
        }
    }
}
