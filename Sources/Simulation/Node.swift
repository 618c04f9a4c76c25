import Catalog
import MeshModel
import Platform
import SWIM

/// A stream between two nodes that carries the catalog: whole and in order, or broken.
final class PlaneLink {
    let dialler: Int
    let acceptor: Int
    var isOpenAtDialler = true
    var isOpenAtAcceptor = true
    /// When the last message that was sent comes there.
    var lastToDialler = MonotonicTime(nanoseconds: 0)
    var lastToAcceptor = MonotonicTime(nanoseconds: 0)
    /// Since when nothing can pass.
    var deadSince: MonotonicTime?
    /// Both ends will hear that it is over.
    var isGivenUp = false
    /// What TCP sends again until somebody gives up.
    var held: [(to: Int, message: CatalogMessage)] = []

    init(from dialler: Int, to acceptor: Int) {
        self.dialler = dialler
        self.acceptor = acceptor
    }

    func other(_ node: Int) -> Int { node == dialler ? acceptor : dialler }
    func isOpen(at node: Int) -> Bool { node == dialler ? isOpenAtDialler : isOpenAtAcceptor }
    func close(at node: Int) { if node == dialler { isOpenAtDialler = false } else { isOpenAtAcceptor = false } }
}

/// One simulated host: the two cores, what their shells would hold, its clock and its disk.
final class Node {
    enum Life: String { case running, paused, crashed, exited, left }
    struct Armed {
        /// Of the event in the queue; another number there is stale.
        var number: UInt64
        var due: MonotonicTime
    }
    struct Declared: Hashable {
        var service: Int
        var port: UInt16
        var version: Int
    }

    let index: Int
    let name: String
    var ip: IPAddress
    var life = Life.exited
    /// Grows with each start.
    var lives = 0
    var clock: SkewedClock
    var random: SWIMRandom
    /// What came while it was paused; the kernel keeps so much.
    var backlog: [EventQueue.Event] = []
    static let backlogBound = 2000
    /// Since when it is not running.
    var downSince: MonotonicTime?
    var upSince = MonotonicTime(nanoseconds: 0)

    // Membership.
    var core: SWIMCore
    var timers: [SWIMTimer: Armed] = [:]
    var joins: UInt64 = 0

    // Catalog.
    var catalog: CatalogCore
    var plan: DialPlan
    var links: [Int: PlaneLink] = [:]
    var view = CatalogView()
    /// What was published since is not in the view yet.
    var isViewOld = false
    /// Of whom it keeps streams with, as last published.
    var addresses: [String: SocketAddress] = [:]
    var isCommitArmed = false
    var isPublishArmed = false
    /// In this step membership buried somebody.
    var hasLost = false

    // What is on its disk.
    var savedGeneration: UInt64 = 0
    var savedRemote: [OriginDelta] = []
    /// By number: the instances of services that its configuration declares.
    var declared: [Int: Declared] = [:]

    // What the invariants remember.
    /// The highest incarnation that it ever announced, and that an earlier life did.
    var announced: UInt32 = 0
    var announcedBefore: UInt32 = 0
    /// The highest incarnation at which anybody suspected it or held it dead.
    var accused: UInt32 = 0
    /// The highest position that it showed of each origin in this life.
    var seen: [Position]
    /// The highest position that it ever signed.
    var signed = Position.none

    init(_ index: Int, of count: Int, ip: IPAddress, random: SWIMRandom) {
        self.index = index
        self.ip = ip
        self.random = random
        name = Self.name(index)
        core = SWIMCore(SWIMConfiguration(name: name, address: SocketAddress(ip, port: Ports.gossip)))
        catalog = CatalogCore(node: name, trustDomain: World.trustDomain, generation: 1, limits: CatalogLimits(), authority: CheapAuthority.make(name))
        plan = DialPlan(node: name)
        clock = SkewedClock(bootedFor: 1_000_000_000_000)
        seen = Array(repeating: .none, count: count)
    }

    static func name(_ index: Int) -> String { "n\(index)" }
    /// The inverse; every name in a world is one of these.
    static func index(_ name: String) -> Int { name.utf8.dropFirst().reduce(0) { $0 * 10 + Int($1) - 48 } }

    var gossipAddress: SocketAddress { SocketAddress(ip, port: Ports.gossip) }
    var planeAddress: SocketAddress { SocketAddress(ip, port: Ports.plane) }
    var isRunning: Bool { life == .running }
}

enum Ports {
    static let gossip: UInt16 = 7946
    static let plane: UInt16 = 15008
}
