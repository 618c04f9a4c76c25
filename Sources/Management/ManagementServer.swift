import Glibc
import Hummingbird
import HummingbirdCore
import Logging
import ManagementAPI
import NIOCore
import NIOPosix
import Synchronization

/// The management API on a Unix socket, and metrics on a loopback port.
///
/// Overview: HTTP/1.1 with JSON; `Route` lists the operations, `AccessPolicy` says who may use them. Nothing of it is on the data path.
/// Function: `run` serves until `shutdown` or cancellation. Then new requests are refused, those in progress have two seconds, and the file goes.
/// Implementation: Hummingbird on one NIO thread; handlers run on Swift's pool and await into the agent.
package final class ManagementServer: Sendable {
    /// The largest request body, in bytes.
    package static let maximumBody = 1 << 20
    /// Connections at once to each listener; more wait in the kernel's queue. Units that wait for their capture at boot each hold one.
    package static let maximumConnections = 512
    package static let maximumMetricsConnections = 32
    /// A connection without traffic, or in the middle of a request, ends after this. A request that the agent works on does not count.
    package static let idleTimeout = TimeAmount.seconds(30)
    package static let drainTimeout = Duration.seconds(2)
    package static let reopenDelay = Duration.seconds(1)

    /// Where metrics are served besides the socket.
    package struct MetricsAddress: Sendable, Equatable {
        /// An IP address of this host, a loopback one as a rule: there is no access check.
        package var host: String
        package var port: UInt16
        package init(host: String = "127.0.0.1", port: UInt16 = 16020) {
            self.host = host
            self.port = port
        }
    }

    private let dispatcher: Dispatcher
    private let socket: SocketFile
    private let policy: AccessPolicy
    private let metricsAddress: MetricsAddress?
    private let logger: Logger
    private let inFlight = InFlight()
    private let stop: AsyncStream<APIError?>
    private let stopSource: AsyncStream<APIError?>.Continuation
    private let published = Mutex<SocketFile.Identity?>(nil)

    package init(agent: any AgentControl, socketPath: String, policy: AccessPolicy = AccessPolicy(), metricsAddress: MetricsAddress?, logger: Logger)
    {
        dispatcher = Dispatcher(agent: agent)
        socket = SocketFile(path: socketPath)
        self.policy = policy
        self.metricsAddress = metricsAddress
        self.logger = logger
        (stop, stopSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1))
    }

    /// Serves until `shutdown` is called or the task is cancelled. Once only.
    ///
    /// - Parameter onListening: called once, when both listeners have their addresses; they accept once it returns.
    /// - Throws: `conflict` when the socket or the port is taken, `failed` when the kernel refuses them. The socket file is gone afterwards.
    package func run(onListening: @escaping @Sendable () async -> Void = {}) async throws(APIError) {
        try socket.claim()
        defer {
            socket.removeTemporary()
            socket.remove(published.withLock { $0 })
        }
        // One thread is plenty here; NIO's shared group would have one for every core.
        let threads = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let failure = await serve(on: threads, onListening)
        do { try await threads.shutdownGracefully() } catch { logger.notice("management: the NIO thread did not stop: \(error)") }
        if let failure { throw failure }
    }

    /// Makes `run` return soon; from any thread, any number of times.
    package func shutdown() { stopSource.yield(nil) }

    private func serve(on threads: any EventLoopGroup, _ onListening: @escaping @Sendable () async -> Void) async -> APIError? {
        let waiting = Atomic(metricsAddress == nil ? 1 : 2)
        return await withTaskGroup(of: APIError?.self) { group in
            let ready: @Sendable () async -> Void = {
                if waiting.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 { await onListening() }
            }
            group.addTask { [self] in await serveSocket(threads, ready) }
            if let metricsAddress { group.addTask { [self] in await serveMetrics(metricsAddress, threads, ready) } }
            group.addTask { [self] in await waitForStop() }
            // The first to end, for whatever reason, ends the others.
            let first = await group.next() ?? nil
            group.cancelAll()
            var failure = first
            for await other in group { failure = failure ?? other }
            return failure
        }
    }

    /// Returns when the server shall stop, with the reason when that is a failure.
    private func waitForStop() async -> APIError? {
        for await reason in stop {
            // The name goes first: a client that comes now is told that nobody listens, and not left waiting.
            socket.remove(published.withLock { $0 })
            if reason == nil, await !inFlight.drain(within: Self.drainTimeout) { logger.notice("management: requests were cut off by the stop") }
            return reason
        }
        return nil
    }

    // MARK: Listeners

    private func serveSocket(_ threads: any EventLoopGroup, _ ready: @escaping @Sendable () async -> Void) async -> APIError? {
        let responder = ManagementResponder(dispatcher: dispatcher, policy: policy, inFlight: inFlight, logger: logger)
        let listening = Flag()
        let application = application(responder, threads, .unixDomainSocket(path: socket.temporaryPath), Self.maximumConnections) { [self] _ in
            do throws(APIError) {
                let group = GroupDatabase.number(of: policy.readers)
                // After a first time there is the name of the listener before.
                socket.remove(published.withLock { $0 })
                let identity = try socket.publish(group: group)
                published.withLock { $0 = identity }
                let who = group == nil ? "root only: there is no group \(policy.readers)" : "root and group \(policy.readers)"
                logger.info("management: listening on \(socket.path) for \(who)")
                if listening.set() { await ready() }
            } catch {
                stopSource.yield(error)
            }
        }
        return await keepServing(application, "socket \(socket.path)", listening)
    }

    private func serveMetrics(
        _ address: MetricsAddress, _ threads: any EventLoopGroup, _ ready: @escaping @Sendable () async -> Void
    ) async -> APIError? {
        let responder = MetricsResponder(dispatcher: dispatcher, inFlight: inFlight)
        let listening = Flag()
        let application = application(
            responder, threads, .hostname(address.host, port: Int(address.port)), Self.maximumMetricsConnections
        ) { [logger] channel in
            logger.info("management: metrics on \(address.host):\(channel.localAddress?.port ?? Int(address.port))")
            if listening.set() { await ready() }
        }
        return await keepServing(application, "metrics port \(address.host):\(address.port)", listening)
    }

    private func application<R: HTTPResponder>(
        _ responder: R, _ threads: any EventLoopGroup, _ address: BindAddress, _ connections: Int,
        _ onListening: @escaping @Sendable (any Channel) async -> Void
    ) -> Application<R> where R.Context == ManagementContext {
        // Its own messages name the temporary path and complain of every stop; ours say what matters.
        var quiet = logger
        quiet.logLevel = .critical
        let channel = HTTP1Channel.Configuration(
            idleTimeout: Self.idleTimeout,
            httpDecoderConfiguration: .init(maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 64 << 10, maxHeaderFieldCount: 100))
        return Application(
            responder: responder, server: .http1(configuration: channel),
            configuration: ApplicationConfiguration(
                address: address, backlog: 1024, availableConnectionsDelegate: MaximumAvailableConnections.maximum(connections, logger: quiet)),
            onServerRunning: onListening, eventLoopGroupProvider: .shared(threads), logger: quiet)
    }

    /// Serves, and opens the listener again when it breaks: NIO gives one up when the process is out of descriptors.
    private func keepServing(_ application: some ApplicationProtocol, _ what: String, _ listening: Flag) async -> APIError? {
        while true {
            let failure = await serve(application, what)
            if Task.isCancelled || inFlight.isStopping { return nil }
            guard listening.isSet else { return failure }
            logger.error("management: the \(what) broke (\(failure?.message ?? "is the process out of file descriptors?")); it is opened again")
            do { try await Task.sleep(for: Self.reopenDelay) } catch { return nil }
        }
    }

    private func serve(_ application: some ApplicationProtocol, _ what: String) async -> APIError? {
        do {
            try await application.run()
            return nil
        } catch is CancellationError {
            return nil
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            return APIError(
                .conflict, code: "port_in_use", "the \(what) is in use by another process",
                remedy: "`ss -lntp` shows which; stop it, or set ports.metrics to another port", source: "configuration")
        } catch {
            if Task.isCancelled { return nil }
            let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
            return APIError(
                .failed, code: "listen", "cannot open the \(what): \(reason)",
                remedy: "the socket's directory must exist and be the agent's own, and the metrics address must be one of this host", source: "kernel"
            )
        }
    }
}
