import MeshModel
import YAML

extension HealthCheck {
    /// A check in one word, as the command line and the API have it: `tcp`, `http:/healthz`, `grpc`, `grpc:service`, `ttl:30s`, or `none` for nil.
    ///
    /// - Throws: `check`, and `check_exec` for a program: those are named by files of this host only.
    package static func named(_ text: String) throws(MeshError) -> HealthCheck? {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let (kind, rest) = (parts[0], parts.count == 2 ? parts[1] : nil)
        switch (kind, rest) {
        case ("none", nil): return nil
        case ("tcp", nil): return HealthCheck(.tcp)
        case ("http", let path?) where HTTPCheck.isPath(path): return HealthCheck(.http(HTTPCheck(path: path)))
        case ("http", _): throw wrong(text, "write http: and a path, as http:/healthz")
        case ("grpc", nil): return HealthCheck(.grpc(service: ""))
        case ("grpc", let service?) where (1...128).contains(service.utf8.count) && service.utf8.allSatisfy { $0 > 32 && $0 < 127 }:
            return HealthCheck(.grpc(service: service))
        case ("grpc", _): throw wrong(text, "write grpc, or grpc: and the name of a gRPC service")
        case ("ttl", _):
            guard let ttl = rest.flatMap(DurationText.parse), (.seconds(1)...(.seconds(86_400))).contains(ttl) else {
                throw wrong(text, "write ttl: and a duration from 1s to 24h, as ttl:30s")
            }
            return HealthCheck(.ttl(ttl))
        case ("exec", _):
            throw MeshError(
                .configuration, code: "check_exec", "programs to run are not taken over the API",
                remedy: "declare the service with `check: {exec: …}` in a file under \(ExecCheck.directory)/services.d, which root alone can write")
        default:
            let near = Suggestion.nearest(to: kind, among: ["tcp", "http", "grpc", "ttl", "none"])
            throw wrong(text, near.map { "did you mean \($0)?" } ?? "use tcp, http:/path, grpc, grpc:service, ttl:30s or none")
        }
    }

    private static func wrong(_ text: String, _ remedy: String) -> MeshError {
        MeshError(.configuration, code: "check", "\"\(text.prefix(128))\" is no kind of check", remedy: remedy)
    }
}
