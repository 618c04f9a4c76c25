import MeshModel
import Platform
import Settings

/// The check of a registered instance as it is on disk. None of kind `exec` is ever registered.
struct RegisteredCheck: Codable {
    /// `none`, `tcp`, `http`, `grpc` or `ttl`.
    var kind: String
    var port: UInt16?
    var intervalMilliseconds: Int64
    var jitter: Double
    var timeoutMilliseconds: Int64
    var healthyAfter: Int
    var unhealthyAfter: Int
    var initial: Health?
    var http: HTTP?
    /// The service that `grpc` asks for.
    var service: String?
    var ttlMilliseconds: Int64?

    struct HTTP: Codable {
        var path: String
        var host: String?
        /// The ends of each range.
        var statuses: [[UInt16]]
        var headers: [String: String]
        var body: String?
    }

    init(_ check: EndpointCheck) {
        kind = check.kind?.word ?? "none"
        port = check.port
        intervalMilliseconds = check.interval.milliseconds
        jitter = check.jitter
        timeoutMilliseconds = check.timeout.milliseconds
        healthyAfter = check.healthyAfter
        unhealthyAfter = check.unhealthyAfter
        initial = check.initial
        switch check.kind {
        case nil, .tcp, .exec: break
        case .http(let asked):
            http = HTTP(
                path: asked.path, host: asked.host, statuses: asked.statuses.map { [$0.lowerBound, $0.upperBound] }, headers: asked.headers, body: asked.body)
        case .grpc(let name): service = name
        case .ttl(let ttl): ttlMilliseconds = ttl.milliseconds
        }
    }

    /// Nil when it makes no sense.
    var check: EndpointCheck? {
        let found: HealthCheck.Kind?
        switch kind {
        case "none": found = nil
        case "tcp": found = .tcp
        case "http":
            guard let asked = http.flatMap(Self.asked) else { return nil }
            found = .http(asked)
        case "grpc": found = .grpc(service: service ?? "")
        case "ttl":
            guard let ttlMilliseconds, ttlMilliseconds > 0 else { return nil }
            found = .ttl(.milliseconds(ttlMilliseconds))
        default: return nil
        }
        return EndpointCheck(
            kind: found, port: port, interval: .milliseconds(max(100, intervalMilliseconds)), jitter: jitter,
            timeout: .milliseconds(max(10, timeoutMilliseconds)), healthyAfter: healthyAfter, unhealthyAfter: unhealthyAfter,
            initial: initial ?? .unknown)
    }

    private static func asked(_ stored: HTTP) -> HTTPCheck? {
        guard HTTPCheck.isPath(stored.path) else { return nil }
        var result = HTTPCheck(path: stored.path)
        result.host = stored.host
        result.statuses = []
        for ends in stored.statuses {
            guard ends.count == 2, ends[0] <= ends[1] else { return nil }
            result.statuses.append(ends[0]...ends[1])
        }
        result.headers = stored.headers
        result.body = stored.body
        return result
    }
}
