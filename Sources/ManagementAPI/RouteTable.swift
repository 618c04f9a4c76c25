/// Finds the route of a request.
package enum RouteTable {
    package enum Match: Equatable, Sendable {
        /// With the text in place of the path's parameter, still percent-encoded; empty when it has none.
        case found(Route, parameter: String)
        /// The path exists, with these methods.
        case wrongMethod([Route.Method])
        /// No such path; the nearest one, if any is near.
        case unknown(nearest: String?)
    }

    /// - Parameter path: without the query.
    package static func match(method: String, path: String) -> Match {
        let path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        var methods: [Route.Method] = []
        // A fixed path wins over one with a parameter: they never overlap in length and text but for the last part.
        for fixed in [true, false] {
            for route in Route.allCases where route.path.hasSuffix("}") != fixed {
                guard let parameter = parameter(of: route.path, in: path) else { continue }
                if route.method.rawValue == method { return .found(route, parameter: parameter) }
                methods.append(route.method)
            }
        }
        if !methods.isEmpty { return .wrongMethod(methods) }
        return .unknown(nearest: Suggestion.nearest(to: path, among: Set(Route.allCases.map(\.path)).sorted()))
    }

    private static func parameter(of template: String, in path: String) -> String? {
        guard let brace = template.firstIndex(of: "{") else { return template == path ? "" : nil }
        let prefix = template[..<brace]
        guard path.hasPrefix(prefix), path.count > prefix.count else { return nil }
        let rest = path.dropFirst(prefix.count)
        return rest.contains("/") ? nil : String(rest)
    }
}

extension Route {
    /// The path with its parameter filled in, as `/v1/services/reviews.default`. The caller has percent-encoded it.
    package func path(_ parameter: String) -> String {
        guard let brace = path.firstIndex(of: "{") else { return path }
        return path[..<brace] + parameter
    }
}
