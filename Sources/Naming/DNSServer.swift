import Glibc
import Logging
import MeshModel
import Platform
import Reactor

/// The DNS server that captured processes are redirected to, over UDP and TCP.
///
/// Names of the mesh are answered from the table, everything else goes to the host's resolvers. All of it runs on the control thread.
@Control
package final class DNSServer {
    package enum Transport: String, Hashable, Sendable { case udp, tcp }

    /// The namespace of the workload that sent a query; nil when it is nobody known.
    ///
    /// - Parameters: the client's address, the listener's, and the transport.
    package typealias CallerNamespace = @Control (_ client: SocketAddress, _ local: SocketAddress, _ transport: Transport) -> String?

    /// Where to listen.
    package struct Listener: Hashable, Sendable {
        /// One address of this host, not a wildcard.
        package var address: SocketAddress
        /// Whether names that are not ours go to the host's resolvers; else they are refused.
        package var forwards: Bool
        /// A host without this address or its family does without.
        package var isOptional: Bool

        package init(_ address: SocketAddress, forwards: Bool = true, isOptional: Bool = false) {
            self.address = address
            self.forwards = forwards
            self.isOptional = isOptional
        }

        /// What systemd-resolved is pointed at (`systemd/resolved-weft.conf`). It never forwards: resolved asks its global servers for any
        /// name, and one that asked resolved back would make a circle.
        package static let resolvedAddress = IPAddress(v4: 0x7f00_0002)

        /// 127.0.0.1 and ::1 for redirected queries, 127.0.0.2 for systemd-resolved.
        package static func standard(port: UInt16) -> [Listener] {
            [
                Listener(SocketAddress(.loopbackV4, port: port)),
                Listener(SocketAddress(.loopbackV6, port: port), isOptional: true),
                Listener(SocketAddress(resolvedAddress, port: port), forwards: false, isOptional: true),
            ]
        }
    }

    package struct Options: Sendable {
        package var listeners: [Listener]
        /// Where other names are asked; empty: the name servers of `resolvConf`, followed as it changes.
        package var upstreams: [SocketAddress] = []
        package var resolvConf = "/etc/resolv.conf"
        package var ttl = Duration.seconds(5)
        /// `SO_MARK` of every socket, so that capture leaves them alone.
        package var mark: UInt32 = 0
        /// Queries that may wait for a resolver.
        package var maximumQueries = 1_024
        /// TCP connections of all listeners.
        package var maximumConnections = 128
        package var idleTimeout = Duration.seconds(10)
        /// How long after `start` queries that may be for the mesh wait for the first table, so that a program that starts with the host
        /// is not told that its names don't exist. Less than the 5 s of the C library.
        package var hold = Duration.seconds(4)

        package init(listeners: [Listener]) { self.listeners = listeners }
    }

    private var options: Options
    private let caller: CallerNamespace
    private let logger: Logger
    private let forwarder: Forwarder
    private let resolvConf: HostResolverFile
    private var resolver: NameResolver
    private var table = NameTable()
    /// Queries that wait for the first table; nil once it came or the wait is over.
    private var held: [@Control () -> Void]? = []
    private var holdTimer: TimerID?
    /// The most queries that wait for the first table; more get SERVFAIL.
    package static let maximumHeld = 1_024
    private var udp: [UDPListener] = []
    private var tcp: [TCPListener] = []
    private var sweeper: TimerID?
    private var own = DNSCounters()

    package init(_ options: Options, logger: Logger, caller: @escaping CallerNamespace) {
        self.options = options
        self.caller = caller
        self.logger = logger
        resolvConf = HostResolverFile(path: options.resolvConf)
        resolver = NameResolver(ttl: options.ttl)
        forwarder = Forwarder(upstreams: Upstreams([]), mark: options.mark, maximum: options.maximumQueries, logger: logger)
    }

    /// Opens all listeners, or none.
    package func start() throws(MeshError) {
        for listener in options.listeners {
            do throws(Errno) {
                try open(listener)
            } catch {
                if listener.isOptional, [EADDRNOTAVAIL, EAFNOSUPPORT].contains(error.code) {
                    logger.info("this host has no such address; DNS does without", metadata: ["address": "\(listener.address)"])
                    continue
                }
                stop()
                throw Self.failure(listener, error)
            }
        }
        refreshResolvers(force: true)
        if held != nil { holdTimer = ControlLoop.shared.after(options.hold) { [weak self] in self?.endHold() } }
        sweeper = ControlLoop.shared.every(.seconds(1)) { [weak self] in
            guard let self else { return }
            let now = MonotonicTime.now()
            for listener in tcp { listener.sweep(now, idle: options.idleTimeout) }
        }
    }

    /// Closes everything; waiting queries get no answer.
    package func stop() {
        if let sweeper { ControlLoop.shared.cancel(sweeper) }
        sweeper = nil
        if let holdTimer { ControlLoop.shared.cancel(holdTimer) }
        holdTimer = nil
        if held != nil { held = [] }
        own = counters
        for listener in udp { listener.close() }
        for listener in tcp { listener.close() }
        udp = []
        tcp = []
        forwarder.stop()
    }

    /// Takes over another table, from the next query on. With the first, queries that waited for it are answered.
    package func update(_ table: NameTable) {
        self.table = table
        endHold()
    }

    /// Takes over reloaded upstreams and TTL.
    package func reconfigure(upstreams: [SocketAddress], ttl: Duration) {
        options.upstreams = upstreams
        options.ttl = ttl
        refreshResolvers(force: true)
    }

    /// The addresses that are listened on, with the port that the kernel chose for port 0.
    package var addresses: (udp: [SocketAddress], tcp: [SocketAddress]) { (udp.map(\.address), tcp.map(\.address)) }
    /// Whom other names are asked, and whether each is taken for dead.
    package var resolvers: [(address: SocketAddress, isDead: Bool)] { forwarder.addresses.map { ($0, forwarder.isDead($0)) } }
    /// Queries that wait for a resolver, and open TCP connections.
    package var inFlight: (queries: Int, connections: Int) { (forwarder.count, tcp.reduce(0) { $0 + $1.count }) }

    package var counters: DNSCounters {
        var result = own
        let forwarded = forwarder.counters
        result.forwarded = forwarded.forwarded
        result.forwardAnswered = forwarded.forwardAnswered
        result.forwardFailed = forwarded.forwardFailed
        result.forwardFull = forwarded.forwardFull
        result.forwardRetries = forwarded.forwardRetries
        result.forwardTimeouts = forwarded.forwardTimeouts
        result.garbage = forwarded.garbage
        for listener in udp { result.sendFailures += listener.sendFailures }
        for listener in tcp {
            result.tcpAccepted += listener.accepted
            result.tcpRefused += listener.refused
            result.tcpIdleClosed += listener.idleClosed
        }
        return result
    }

    // MARK: Listening

    private func open(_ listener: Listener) throws(Errno) {
        let forwards = listener.forwards
        let datagrams = try UDPListener(listener.address, mark: options.mark) { [weak self] query, client, local, reply in
            guard let self else { return }
            own.udpQueries += 1
            handle(query, client, local, .udp, forwards, reply)
        }
        udp.append(datagrams)
        let mayOpen: @Control () -> Bool = { [weak self] in self.map { $0.inFlight.connections < $0.options.maximumConnections } ?? false }
        // Port 0 (tests) is the same number for both.
        let streams = try TCPListener(datagrams.address, mark: options.mark, mayOpen: mayOpen) { [weak self] query, client, local, reply in
            guard let self else { return }
            own.tcpQueries += 1
            handle(query, client, local, .tcp, forwards, reply)
        }
        tcp.append(streams)
    }

    private static func failure(_ listener: Listener, _ error: Errno) -> MeshError {
        let remedy =
            switch error.code {
            case EADDRINUSE: "find the program that has the port with `ss -lnp 'sport = \(listener.address.port)'`, or set another as `ports.dns`"
            case EPERM, EACCES: "the agent needs CAP_NET_ADMIN to mark its sockets, and CAP_NET_BIND_SERVICE for ports below 1024"
            default: "check that the address belongs to this host"
            }
        return MeshError(
            .configuration, code: error.code == EADDRINUSE ? "port_in_use" : "dns_listen", "DNS cannot listen on \(listener.address): \(error)",
            remedy: remedy)
    }

    // MARK: Answering

    /// One query; `reply` is called once, or never when there is nothing to say over UDP. Over TCP an empty reply ends the connection.
    private func handle(
        _ bytes: [UInt8], _ client: SocketAddress, _ local: SocketAddress, _ transport: Transport, _ forwards: Bool,
        _ reply: @escaping @Control ([UInt8]) -> Void
    ) {
        switch DNSQuery.parse(bytes) {
        case .drop:
            own.malformed += 1
            if transport == .tcp { reply([]) }
        case .malformed(let answer):
            own.malformed += 1
            reply(answer)
        case .otherOperation: forward(bytes, nil, transport, forwards, reply)
        case .query(let query):
            if held != nil, resolver.mayBeOurs(query) {
                return hold(query) { [weak self] in
                    self?.handle(bytes, client, local, transport, forwards, reply)
                } refuse: {
                    reply($0)
                }
            }
            let limit = transport == .tcp ? DNSBounds.message : query.udpLimit
            let decision = resolver.answer(query, callerNamespace: callerNamespace(client, local, transport), table: table, limit: limit)
            switch decision {
            case .answer(let answer, let kind):
                count(kind)
                reply(answer)
            case .refuse(let answer):
                own.refused += 1
                reply(answer)
            case .forward: forward(bytes, query, transport, forwards, reply)
            }
        }
    }

    private func hold(_ query: DNSQuery, _ body: @escaping @Control () -> Void, refuse: @Control ([UInt8]) -> Void) {
        guard let count = held?.count, count < Self.maximumHeld else {
            own.heldFull += 1
            return refuse(DNSWriter(query, limit: DNSBounds.message).finished(.serverFailure, authoritative: false).bytes)
        }
        own.held += 1
        held?.append(body)
    }

    private func endHold() {
        if let holdTimer { ControlLoop.shared.cancel(holdTimer) }
        holdTimer = nil
        let waiting = held ?? []
        held = nil
        for body in waiting { body() }
    }

    private func callerNamespace(_ client: SocketAddress, _ local: SocketAddress, _ transport: Transport) -> String? {
        let namespace = caller(client, local, transport)
        if namespace == nil { own.unknownCallers += 1 }
        return namespace
    }

    private func forward(
        _ bytes: [UInt8], _ query: DNSQuery?, _ transport: Transport, _ forwards: Bool, _ reply: @escaping @Control ([UInt8]) -> Void
    ) {
        guard forwards else {
            own.refused += 1
            return reply(DNSWriter.bare(header: bytes, query, code: .refused))
        }
        // A transfer is a stream of messages, and between servers: a resolver would refuse it anyway.
        if let query, query.type == .axfr || query.type == .ixfr {
            own.refused += 1
            return reply(DNSWriter.bare(header: bytes, query, code: .notImplemented))
        }
        refreshResolvers(force: false)
        forwarder.forward(bytes, transport == .udp ? .udp : .tcp, reply)
    }

    private func count(_ kind: NameResolver.Kind) {
        switch kind {
        case .data: own.answered += 1
        case .noData: own.noData += 1
        case .nameError: own.nameErrors += 1
        case .truncated: own.truncated += 1
        }
    }

    private func refreshResolvers(force: Bool) {
        let changed = resolvConf.refresh(.now())
        guard changed || force else { return }
        let content = resolvConf.content
        resolver = NameResolver(ttl: options.ttl, searchDomains: content.search)
        forwarder.replaceUpstreams(options.upstreams.isEmpty ? content.upstreams : options.upstreams, own: udp.map(\.address))
        if forwarder.addresses.isEmpty {
            logger.warning("no resolver to forward names to", metadata: ["file": "\(options.resolvConf)", "unusable": "\(content.unusable)"])
        }
    }
}

extension DNSWriter {
    /// A code and no records, with the question where it could be read.
    static func bare(header: [UInt8], _ query: DNSQuery?, code: DNSCode) -> [UInt8] {
        guard let query else { return bare(header: header, code: code) }
        return DNSWriter(query, limit: DNSBounds.message).finished(code, authoritative: false).bytes
    }
}
