import Logging
import MeshModel
import Platform
import Reactor
import Testing

@testable import Naming

/// A server on a free loopback port, whose callers are told apart by their own address: 127.0.1.x is namespace `default`,
/// 127.0.2.x `prod`, 127.0.9.x nobody.
@Control
final class RunningServer {
    let server: DNSServer
    let address: SocketAddress

    init(
        upstreams: [SocketAddress] = [], resolvConf: String = "/nonexistent", listen: IPAddress = .loopbackV4, forwards: Bool = true,
        table: NameTable? = testTable, _ change: (inout DNSServer.Options) -> Void = { _ in }
    ) throws {
        var options = DNSServer.Options(listeners: [.init(SocketAddress(listen, port: 0), forwards: forwards)])
        options.upstreams = upstreams
        options.resolvConf = resolvConf
        change(&options)
        // The port that the kernel gives for UDP may be somebody's for TCP.
        server = try Self.started(options, attempts: 20)
        if let table { server.update(table) }
        address = try #require(server.addresses.udp.first)
    }

    private static func started(_ options: DNSServer.Options, attempts: Int) throws -> DNSServer {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = DNSServer(options, logger: logger) { client, local, _ in
            guard client.ip.isV4 else { return "default" }
            switch client.ip.bytes[2] {
            case 2: return "prod"
            case 9: return nil
            default: return "default"
            }
        }
        do throws(MeshError) {
            try server.start()
            return server
        } catch {
            guard error.code == "port_in_use", attempts > 1 else { throw error }
            return try started(options, attempts: attempts - 1)
        }
    }

    func stop() { server.stop() }
    var counters: DNSCounters { server.counters }
    var inFlight: (queries: Int, connections: Int) { server.inFlight }

    /// Runs dig against it and gives what it prints.
    nonisolated static func dig(_ address: SocketAddress, _ arguments: String, from source: String? = nil) throws -> String {
        var command = ["dig", "@\(address.ip)", "-p", "\(address.port)", "+tries=1", "+time=5"]
        if let source { command += ["-b", source] }
        return try Child(command + arguments.split(separator: " ").map(String.init)).all()
    }
}

/// Waits until something holds, at most some seconds.
@Control
func eventually(_ condition: @Control () -> Bool) async -> Bool {
    for _ in 0..<300 {
        if condition() { return true }
        await ControlLoop.shared.sleep(.milliseconds(10))
    }
    return condition()
}
