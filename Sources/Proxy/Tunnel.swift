import HTTPWire
import Platform
import Reactor
import TLS
import Traffic

/// Flows of one source identity to one destination identity on one node share tunnels.
struct TunnelKey: Hashable {
    var source: NameID
    var destination: NameID
    var address: SocketAddress
}

/// A connection on the tunnel port: the TLS handshake, then HTTP/2 with one CONNECT stream for each flow.
///
/// Owned by one worker, which passes it by pointer: no event counts a reference. It stays in memory until the end of the turn in which it was closed, so that
/// whoever is in the middle of it can see that.
struct Tunnel: ~Copyable {
    enum Phase { case connecting, handshaking, open, closed }

    let role: HTTP2Role
    /// Nil for tunnels that others opened.
    let key: TunnelKey?
    /// Listed in the worker's pool: it may be given new streams.
    var pooled = false
    let peer: SocketAddress
    var phase: Phase
    /// While `connecting`; then the TLS connection owns it.
    var socket: OwnedFD?
    /// For epoll; valid as long as the tunnel.
    let fd: CInt
    var tls: TLSConnection?
    var http: HTTP2Session?
    /// The first and last flow that wait until the tunnel is open.
    var waitingHead = Flow.none
    var waitingTail = Flow.none
    /// The identity that this end presented, and the one that the peer proved.
    var presented: NameID = 0
    var peerIdentity: NameID = 0
    /// Encrypted output waits for the socket; `pending` are plain bytes that the TLS layer has not taken.
    var writeBlocked = false
    var pending: [UInt8] = []
    var pendingOffset = 0
    /// Plain bytes of frames so far, both directions together.
    var moved = 0
    /// No new streams.
    var draining = false
    /// The peer's TLS layer answers before it goes on: a read waits until the socket is writable.
    var readWantsWrite = false
    /// It does not count as a connection whose handshake runs any more.
    var handshakeOver = false
    /// When connecting or the handshake is given up.
    var deadline: MonotonicTime
    /// When the wheel is to name this tunnel.
    var wakeAt = MonotonicTime(nanoseconds: 0)
    /// When the peer's certificate ends.
    var peerNotAfter: WallTime?
    /// The last byte from the peer.
    var heard: MonotonicTime
    var pinged = false
    /// A PING and its answer, and the last such PING: when it was sent, and whether the answer is still to come. See Worker+Credit.swift.
    var roundTrip: Duration?
    var probed = MonotonicTime(nanoseconds: 0)
    var probing = false
    /// Since when it has no streams.
    var idleSince: MonotonicTime

    init(role: HTTP2Role, key: TunnelKey?, peer: SocketAddress, socket: consuming OwnedFD, phase: Phase, now: MonotonicTime, deadline: MonotonicTime) {
        self.role = role
        self.key = key
        self.peer = peer
        self.fd = socket.raw
        self.socket = consume socket
        self.phase = phase
        self.deadline = deadline
        heard = now
        idleSince = now
    }

    /// What the handshake agreed on and proved. Only once it is done.
    mutating func proof() -> (alpn: String?, uris: [String], notAfter: WallTime?) {
        func read(_ tls: inout TLSConnection) -> (String?, [String], WallTime?) { (tls.alpn, tls.peerURIs, tls.peerNotAfter) }
        return read(&tls!)
    }

    /// Streams that have not ended.
    var activeStreams: Int {
        switch http {
        case .some(let session): session.activeStreams
        case .none: 0
        }
    }
    /// HTTP/2 has nothing more to say or to hear.
    var isFinished: Bool {
        switch http {
        case .some(let session): session.isFinished
        case .none: true
        }
    }

    /// All of `pending` was written. Its memory stays for the next time that the socket is full, which in a bulk transfer is soon.
    mutating func clearPending() {
        pending.removeAll(keepingCapacity: true)
        pendingOffset = 0
    }
    /// An idle tunnel holds no buffer.
    mutating func freePending() { if pending.isEmpty && pending.capacity > 0 { pending = [] } }
}

typealias TunnelPointer = UnsafeMutablePointer<Tunnel>

/// A tunnel's place in the worker's slab.
struct TunnelSlot {
    var tunnel: TunnelPointer?
    /// Queued for output or another turn of reading already.
    var queued = false
    /// Received bytes were left, in OpenSSL or the kernel, and no event will name them.
    var readMore = false
    /// Moves much: see Worker+Bulk.swift. When it last had its turn, in nanoseconds.
    var bulk = false
    var lastTurn: UInt64 = 0
    /// Carries much: see Worker+Relief.swift. When another one may be dialled to help it.
    var pressure = TunnelPressure()
    var notRelievedBefore = MonotonicTime(nanoseconds: 0)
}
