import HTTPTypes
import Hummingbird
import ManagementAPI
import NIOCore

/// Takes HTTP requests apart, within bounds.
enum RequestReader {
    static func route(_ request: Request) throws(APIError) -> (Route, parameter: String) {
        switch RouteTable.match(method: request.method.rawValue, path: request.uri.path) {
        case .found(let route, let parameter):
            guard let decoded = PercentEncoding.decode(parameter) else {
                throw APIError(.invalid, code: "invalid_request", "the path is not percent-encoded UTF-8", source: "client")
            }
            return (route, decoded)
        case .wrongMethod(let methods): throw wrongMethod(request, methods)
        case .unknown(let nearest):
            throw APIError(
                .notFound, code: "unknown_path", "there is no \(request.uri.path.prefix(128)) in this API",
                remedy: nearest.map { "did you mean \($0)?" } ?? "Documentation/openapi.yaml has them all", source: "client")
        }
    }

    static func wrongMethod(_ request: Request, _ methods: [Route.Method]) -> APIError {
        APIError(
            .methodNotAllowed, code: "wrong_method", "\(request.method.rawValue.prefix(16)) is not possible on \(request.uri.path.prefix(128))",
            remedy: "use \(methods.map(\.rawValue).joined(separator: " or "))", source: "client")
    }

    static func query(_ request: Request, _ route: Route) throws(APIError) -> [String: String] {
        var found: [String: String] = [:]
        for (key, value) in request.uri.queryParameters {
            let name = String(key)
            guard route.query.contains(name) else {
                let nearest = Suggestion.nearest(to: name, among: route.query).map { "did you mean \"\($0)\"?" }
                let all = route.query.isEmpty ? "it takes none" : "it takes \(route.query.joined(separator: ", "))"
                throw APIError(
                    .invalid, code: "unknown_parameter", "\(route.path) has no parameter \"\(name.prefix(64))\"", remedy: nearest ?? all,
                    source: "client")
            }
            guard found.updateValue(String(value), forKey: name) == nil else {
                throw APIError(.invalid, code: "invalid_request", "the parameter \"\(name)\" is there twice", source: "client")
            }
        }
        return found
    }

    static func body(_ request: Request) async throws(APIError) -> [UInt8] {
        let limit = ManagementServer.maximumBody
        if let announced = request.headers[.contentLength].flatMap(Int.init), announced > limit { throw tooLarge(limit) }
        do {
            return Array(buffer: try await request.body.collect(upTo: limit))
        } catch is NIOTooManyBytesError {
            throw tooLarge(limit)
        } catch {
            throw APIError(.invalid, code: "invalid_body", "the body broke off", source: "client")
        }
    }

    private static func tooLarge(_ limit: Int) -> APIError {
        APIError(.tooLarge, code: "body_too_large", "the request's body is larger than \(limit) bytes", remedy: "send less", source: "client")
    }
}

/// Writes answers.
enum Replies {
    static func success(_ answer: Answer, _ done: @escaping @Sendable () -> Void) -> Response {
        switch answer {
        case .json(let bytes): make(.ok, "application/json", ByteBuffer(bytes: bytes), closing: false, done)
        case .metrics(let text): make(.ok, "text/plain; version=0.0.4; charset=utf-8", ByteBuffer(string: text), closing: false, done)
        }
    }

    /// - Parameter closing: whether to tell the client that the connection ends.
    static func failure(_ error: APIError, closing: Bool, _ done: @escaping @Sendable () -> Void) -> Response {
        let status = HTTPResponse.Status(code: error.kind.rawValue)
        // An error body is four texts: encoding it cannot fail, and if it did an empty object is still JSON.
        let bytes = (try? APIJSON.encode(ErrorBody(error))) ?? Array("{}".utf8)
        return make(status, "application/json", ByteBuffer(bytes: bytes), closing: closing, done)
    }

    private static func make(
        _ status: HTTPResponse.Status, _ type: String, _ body: ByteBuffer, closing: Bool, _ done: @escaping @Sendable () -> Void
    ) -> Response {
        var headers: HTTPFields = [.contentType: type, .cacheControl: "no-store"]
        if closing { headers[.connection] = "close" }
        let once = Once(done)
        return Response(
            status: status, headers: headers,
            body: ResponseBody(contentLength: body.readableBytes) { writer in
                defer { once.call() }
                try await writer.write(body)
                try await writer.finish(nil)
            })
    }
}

/// Runs its closure once: when called, or when nobody can call it any more (the connection broke before the body was written).
final class Once: Sendable {
    private let body: @Sendable () -> Void
    private let called = Flag()
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    func call() {
        if called.set() { body() }
    }
    deinit { call() }
}
