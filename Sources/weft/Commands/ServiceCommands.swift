import ArgumentParser
import ManagementAPI

struct Services: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the services of the mesh, or the endpoints of one.",
        discussion: "A name without a namespace is in namespace default: reviews is reviews.default.")
    @Argument(help: "Show this service's endpoints, as reviews or reviews.shop.")
    var name: String?
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        guard let name else { return try await list() }
        let (detail, _): (ServiceDetail, _) = try await global.client.call(.getService, parameter: name)
        try global.show(detail) { detail in
            var text = "\(Text.printable("\(detail.name).\(detail.namespace)"))  ports \(detail.ports.map(String.init).joined(separator: ", "))"
            text += "  addresses \(Text.printable(detail.addresses.joined(separator: ", ")))\n"
            for subset in detail.subsets {
                text += Text.printable("\(subset.version).\(detail.name).\(detail.namespace)  addresses \(subset.addresses.joined(separator: ", "))") + "\n"
            }
            text += "\n"
            var table = Table([
                .init("ENDPOINT"), .init("PORT", isNumber: true), .init("NODE"), .init("ZONE"), .init("STATE"), .init("VERSION"),
                .init("WEIGHT", isNumber: true), .init("IDENTITY"),
            ])
            for endpoint in detail.endpoints {
                table.add([
                    endpoint.address, "\(endpoint.port)", endpoint.node,
                    Text.orDash([endpoint.region, endpoint.zone].filter { !$0.isEmpty }.joined(separator: "/")), Self.state(endpoint),
                    Text.orDash(endpoint.version), "\(endpoint.weight)", endpoint.identity,
                ])
            }
            return text + table.text + Self.failures(detail.endpoints)
        }
    }

    /// What is wrong with this node's own endpoints, which the table has no room for.
    private static func failures(_ endpoints: [ServiceEndpoint]) -> String {
        endpoints.filter { !$0.failure.isEmpty }.map { endpoint in
            let lines = endpoint.output.split(whereSeparator: \.isNewline).map { "    \(Text.printable(String($0)))\n" }
            return "\n\(Text.printable(endpoint.address)) fails its \(Text.printable(endpoint.check)) check: \(Text.printable(endpoint.failure))\n\(lines.joined())"
        }.joined()
    }

    private static func state(_ endpoint: ServiceEndpoint) -> String {
        let state = endpoint.usable ? endpoint.health : "unused: \(endpoint.reason.isEmpty ? endpoint.health : endpoint.reason)"
        return endpoint.stale ? "\(state), stale" : state
    }

    private func list() async throws {
        let (list, _): (ServiceList, _) = try await global.client.call(.listServices)
        try global.show(list) { list in
            if list.services.isEmpty { return Hints.noServices }
            var table = Table([.init("SERVICE"), .init("PORT", isNumber: true), .init("ENDPOINTS"), .init("ADDRESSES")])
            for service in list.services {
                table.add([
                    "\(service.name).\(service.namespace)", "\(service.port)", "\(service.usable) of \(service.endpoints) usable",
                    service.addresses.joined(separator: " "),
                ])
            }
            return table.text
        }
    }
}

struct ServiceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service", abstract: "Register and deregister endpoints of this node.",
        subcommands: [Register.self, Deregister.self, Heartbeat.self])

    struct Register: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an application of this node reachable under a service's name.",
            discussion: "Registering the same service, port and address again replaces the endpoint. Needs root or group weft-admin.")

        @Argument(help: "The service, as reviews or reviews.shop.")
        var name: String
        @Option(help: ArgumentHelp("The port that clients call.", valueName: "port"))
        var port: UInt16
        @Option(help: ArgumentHelp("The port that the application listens on (default: the same).", valueName: "port"))
        var targetPort: UInt16?
        @Option(help: ArgumentHelp("The address that the application listens on (default: the node's).", valueName: "ip"))
        var address: String?
        @Option(help: ArgumentHelp("The account in the workload's identity (default: the service's name).", valueName: "name"))
        var account: String?
        @Option(name: .customLong("endpoint-version"), help: ArgumentHelp("The endpoint's version label, as v1.", valueName: "label"))
        var endpointVersion = ""
        @Option(help: ArgumentHelp("Its share of the traffic among its peers, 1 to 1000000.", valueName: "number"))
        var weight: UInt32 = 1
        @Option(name: .customLong("label"), help: ArgumentHelp("A label of the endpoint. May be repeated.", valueName: "key=value"))
        var labels: [Label] = []
        @Flag(inversion: .prefixedNo, help: "Take it out of routing while the application does not accept connections.")
        var healthCheck = true
        @Option(
            help: ArgumentHelp(
                "How it is checked: tcp, http:/PATH, grpc, grpc:SERVICE, ttl:DURATION (the application sends heartbeats) or none.", valueName: "kind"))
        var check: String?
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let service = try ServiceName.parse(name)
            let request = ServiceRegistration(
                name: service.name, namespace: service.namespace, port: port, address: address, targetPort: targetPort, account: account,
                version: endpointVersion, weight: weight, labels: Dictionary(labels.map { ($0.key, $0.value) }) { $1 }, healthCheck: healthCheck,
                check: check)
            let (report, _): (RegistrationReport, _) = try await global.client.call(.registerService, body: request)
            try global.show(report) { report in
                let what = Text.printable("\(report.service.name).\(report.service.namespace):\(report.service.port)")
                return "\(report.replaced ? "replaced" : "registered") \(what) at \(Text.printable(report.endpoint.address))"
                    + " as \(Text.printable(report.endpoint.identity))\n"
            }
        }
    }

    struct Deregister: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take this node's registered endpoints of a service away.",
            discussion: "All of them, or those that --port and --address name. Endpoints declared in files go when the file does.")

        @Argument(help: "The service, as reviews or reviews.shop.")
        var name: String
        @Option(help: ArgumentHelp("Only endpoints of this port of the service.", valueName: "port"))
        var port: UInt16?
        @Option(help: ArgumentHelp("Only the endpoint at this address, as 10.0.0.1:9080.", valueName: "address"))
        var address: String?
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let service = try ServiceName.parse(name)
            let (report, _): (DeregistrationReport, _) = try await global.client.call(
                .deregisterService, parameter: service.description, query: [("port", port.map(String.init)), ("address", address)])
            try global.show(report) { report in
                "took \(Text.count(report.removed.count, "endpoint")) of \(service) away: \(Text.printable(report.removed.joined(separator: ", ")))\n"
            }
        }
    }
}

enum ServiceName {
    static func parse(_ text: String) throws -> ServiceReference {
        guard let service = ServiceReference(text) else {
            throw ValidationError(
                "\"\(Text.printable(text))\" is no service name: write name or name.namespace, of lower case letters, digits and hyphens.")
        }
        return service
    }
}

/// `key=value` on the command line.
struct Label: ExpressibleByArgument {
    var key: String
    var value: String
    init?(argument: String) {
        guard let equals = argument.firstIndex(of: "="), equals != argument.startIndex else { return nil }
        key = String(argument[..<equals])
        value = String(argument[argument.index(after: equals)...])
    }
}
