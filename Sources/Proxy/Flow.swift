import Platform
import Reactor

/// One direction of a relay: what was read and not yet written. A plain value.
struct Half {
    /// Bytes that the destination did not take, `stashCount` of them from `stashOffset` on.
    var stash: UnsafeMutableRawPointer?
    var stashOffset = 0
    var stashCount = 0
    var stashCapacity = 0
    var pipe: Pipe?
    /// Whom what it holds is charged to.
    var tenant: TenantID = 0
    /// A stream's window, which was charged when it was advertised: so much of the stash costs nothing more.
    var prepaid = 0
    /// Much comes at once, so that it pays to splice. Small messages cost less as a read and a write, however many have passed.
    var bulk = false
    /// Bytes moved so far.
    var total: UInt64 = 0
    /// The source has ended.
    var ended = false
    /// The destination was told so.
    var finished = false
    /// The destination's socket was told how much it may hold unsent.
    var limited = false

    /// Bytes wait for the destination.
    var holds: Bool { stashCount > 0 || (pipe != nil && pipe!.held > 0) }
    /// Bytes that the namespace is charged with for the window and the stash.
    var cost: Int { max(prepaid, stashCapacity) }
}

/// One connection that passes through this node.
///
/// Function: has one or two sockets; where the other side is a stream of a tunnel, that side's descriptor is −1 and `tunnel` names it.
/// A plain value in the worker's slab, taken by pointer once per event; no references in it.
struct Flow {
    enum Phase: UInt8 {
        case free
        /// Waiting for the application's socket.
        case connecting
        /// Waiting for a tunnel, or for the answer to CONNECT.
        case opening
        case relaying
    }
    /// A slot number that means "none".
    static let none = UInt32.max

    var phase = Phase.free
    var direction = Direction.outbound
    var security = Security.plaintext
    /// Queued for another turn already.
    var queued = false
    var attempts: UInt8 = 0
    /// Sent to the same endpoint once more, over another tunnel, because the first request was never answered.
    var redialled = false
    /// A socket died: what it sent before is passed on, what comes for it is dropped, and then the flow ends as reset.
    var broken = false
    /// The kernel's reason for that.
    var errno: CInt = 0
    /// Events of the caller's socket that came before the other side was there.
    var early: UInt32 = 0
    /// When it last had its turn among those that move much, in nanoseconds.
    var lastTurn: UInt64 = 0
    /// Lived long enough for its dialled socket to be watched over.
    var settled = false

    /// The caller's socket (outbound, inbound), or −1.
    var client: CInt = -1
    /// The application's socket, or −1.
    var server: CInt = -1
    /// The tunnel's slot and the stream in it, or `none`.
    var tunnel = Flow.none
    var stream: Int32 = -1
    /// The next flow that waits for the same tunnel.
    var nextWaiting = Flow.none

    /// From the caller to the endpoint, and back.
    var up = Half()
    var down = Half()
    /// Of its stream: bytes that the application's socket took since `takenSince`, how many make the worker look at the window, and how many the socket still
    /// had then. See Worker+Credit.swift.
    var taken = 0
    var takenSince = MonotonicTime(nanoseconds: 0)
    var enough = Int.max
    var queuedThen = 0
    /// Counted in its namespace's flows.
    var admitted = false
    /// What `Worker.charge` has charged, beyond windows, stashes and pipes.
    var charged = 0
    var opened = MonotonicTime(nanoseconds: 0)
    /// When the flow is given up unless something happens; the wheel asks.
    var deadline = MonotonicTime(nanoseconds: 0)
    /// The last time that bytes moved.
    var active = MonotonicTime(nanoseconds: 0)
    /// A wheel timer is set.
    var timed = false

    var source = SocketAddress(.anyV4, port: 0)
    var destination = SocketAddress(.anyV4, port: 0)
    var endpoint = SocketAddress(.anyV4, port: 0)
    var sourceIdentity: NameID = 0
    var destinationIdentity: NameID = 0
    var workload: NameID = 0
    var service: NameID = 0
    var node: NameID = 0
    /// Where it is counted (`FlowTally`), or −1 until it is opened; and the bytes that the counters already have.
    var tally: Int32 = -1
    var countedSent: UInt64 = 0
    var countedReceived: UInt64 = 0
    /// Endpoints that failed for this flow.
    var tried: (SocketAddress?, SocketAddress?, SocketAddress?, SocketAddress?) = (nil, nil, nil, nil)

    /// The namespace whose limits the flow counts against: the caller's, or on the node that serves a tunnel the endpoint's.
    var tenant: TenantID {
        get { up.tenant }
        set {
            up.tenant = newValue
            down.tenant = newValue
        }
    }
    /// The window that the flow's stream has.
    var window: Int { direction == .tunnel ? up.prepaid : down.prepaid }

    /// One side has ended, or died: the other is waited for, not for ever.
    var isClosing: Bool { up.ended || down.ended || broken }

    func hasTried(_ address: SocketAddress) -> Bool {
        tried.0 == address || tried.1 == address || tried.2 == address || tried.3 == address
    }
    mutating func markTried(_ address: SocketAddress) {
        switch attempts {
        case 0: tried.0 = address
        case 1: tried.1 = address
        case 2: tried.2 = address
        default: tried.3 = address
        }
        attempts &+= 1
    }
}

/// What an epoll event or a timer of a worker names.
enum TokenKind {
    static let mailbox: UInt8 = 0
    static let outboundListener: UInt8 = 1
    static let inboundListener: UInt8 = 2
    static let tunnelListener: UInt8 = 3
    static let explicitListener: UInt8 = 4
    /// A flow's caller-side and application-side socket.
    static let client: UInt8 = 5
    static let server: UInt8 = 6
    static let tunnel: UInt8 = 7
}
