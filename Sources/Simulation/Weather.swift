import Platform

/// What the network does to what is sent, everywhere alike.
package struct Weather: Hashable, Sendable {
    /// The share of datagrams that is lost, each way.
    package var loss = 0.0
    /// The share that comes twice.
    package var duplication = 0.0
    /// One way, in nanoseconds: what most take.
    package var latency: ClosedRange<Int64> = 200_000...2_000_000
    /// The share that takes up to `straggle`, and so is overtaken by others.
    package var straggling = 0.0
    package var straggle: Int64 = 400_000_000

    package init() {}

    /// A network of one site on a good day.
    package static let calm = Weather()
}

/// Who reaches whom: a partition divides the nodes into sides, a cut is one direction between two nodes.
struct Paths {
    private var sides: [UInt8]
    private var cuts: Set<UInt64> = []
    private var isDivided = false

    init(_ count: Int) { sides = Array(repeating: 0, count: count) }

    var isWhole: Bool { !isDivided && cuts.isEmpty }

    func leads(_ from: Int, _ to: Int) -> Bool {
        if isDivided, sides[from] != sides[to] { return false }
        return cuts.isEmpty || !cuts.contains(Self.pair(from, to))
    }
    /// Streams need both ways.
    func leadsBothWays(_ a: Int, _ b: Int) -> Bool { leads(a, b) && leads(b, a) }

    mutating func divide(_ sides: [UInt8]) {
        self.sides = sides
        isDivided = true
    }
    mutating func cut(_ from: Int, _ to: Int) { cuts.insert(Self.pair(from, to)) }
    mutating func heal() {
        isDivided = false
        cuts.removeAll()
    }

    private static func pair(_ from: Int, _ to: Int) -> UInt64 { UInt64(from) << 32 | UInt64(to) }
}

/// A node's own clocks beside the world's: one that runs a little fast or slow, and a wall clock that may be set.
struct SkewedClock {
    private var worldBase: UInt64 = 0
    private var localBase: UInt64
    /// How fast it runs.
    private(set) var rate = 1.0
    /// What somebody set the wall clock forward by, or back.
    var wallError: Int64 = 0

    init(bootedFor nanoseconds: UInt64) { localBase = nanoseconds }

    func local(_ world: MonotonicTime) -> MonotonicTime {
        MonotonicTime(nanoseconds: localBase + UInt64(Double(world.nanoseconds - worldBase) * rate))
    }
    /// When it will show `local`, or the next nanosecond.
    func world(_ local: MonotonicTime) -> MonotonicTime {
        let wait = local.nanoseconds > localBase ? Double(local.nanoseconds - localBase) / rate : 0
        return MonotonicTime(nanoseconds: worldBase + UInt64(wait) + 1)
    }
    mutating func setRate(_ rate: Double, at world: MonotonicTime) {
        localBase = local(world).nanoseconds
        worldBase = world.nanoseconds
        self.rate = rate
    }
    /// Seconds since 1970.
    func wall(_ world: MonotonicTime) -> UInt64 { UInt64(max(1, 1_790_000_000 + Int64(world.nanoseconds / 1_000_000_000) + wallError)) }
}
