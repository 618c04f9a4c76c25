import ArgumentParser
import ManagementAPI

struct Heartbeat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say how an application of this node is, whose check is ttl.",
        discussion: "When no heartbeat comes for the check's time, the endpoint is taken out of routing. A process of the workload that serves the endpoint needs group weft; any other root or group weft-admin.")

    @Argument(help: "The service, as reviews or reviews.shop.")
    var name: String
    @Option(help: ArgumentHelp("What the application is: passing or failing.", valueName: "status"))
    var status = HeartbeatRequest.Status.passing
    @Option(help: ArgumentHelp("A few words for people, shown by `weft services`.", valueName: "text"))
    var note = ""
    @Option(help: ArgumentHelp("The endpoint at this address, as 10.0.0.1:9080; needed when this node has several.", valueName: "address"))
    var address: String?
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let service = try ServiceName.parse(name)
        let (report, _): (HeartbeatReport, _) = try await global.client.call(
            .heartbeat, parameter: service.description, body: HeartbeatRequest(status: status, note: note, address: address))
        try global.show(report) { report in
            "\(service) at \(Text.printable(report.address)) is \(Text.printable(report.health)); the next heartbeat is due within \(report.ttlMilliseconds) ms\n"
        }
    }
}

extension HeartbeatRequest.Status: ExpressibleByArgument {}
