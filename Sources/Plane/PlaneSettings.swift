import MeshModel

/// The bounds of one stream. Each is counted or named in the error it makes.
package struct PlaneSettings: Sendable {
    /// Largest frame taken or sent: version, type and payload. (A stream without a peer certificate should have less.)
    package var maxFrameBytes = 4 << 20
    /// Bytes that wait because the peer does not read. `send` throws `plane_queue_full` beyond it.
    package var maxQueuedBytes = 16 << 20
    /// What the kernel keeps until it is read. A node that starts reads more slowly than its peer sends, and for the kernel that is a reason to keep little:
    /// the peer then has to wake for every bit of what it has.
    package var receiveBuffer: Int32 = 2 << 20
    /// Questions of ours without an answer yet.
    package var maxPendingRequests = 256
    /// Questions of the peer that we work on; more are answered with `busy`.
    package var maxServedRequests = 64
    /// A ping is sent when nothing came for this long.
    package var keepalive: Duration = .seconds(10)
    /// The peer is dead when nothing came for this long.
    package var deadAfter: Duration = .seconds(30)
    package var connectTimeout: Duration = .seconds(5)
    package var handshakeTimeout: Duration = .seconds(5)
    /// How long what is queued may take to leave after `close`.
    package var lingerTimeout: Duration = .seconds(2)

    package init() {}
}

/// What one stream did. Read on the control loop.
package struct PlaneCounters: Equatable, Sendable {
    package var framesIn: UInt64 = 0
    package var framesOut: UInt64 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0
    /// Frames of types that nothing here handles: a newer peer's.
    package var unknownFrames: UInt64 = 0
    /// Answers that nobody waits for any more.
    package var lateResponses: UInt64 = 0
    /// Questions refused because `maxServedRequests` were being worked on.
    package var busyRequests: UInt64 = 0
    /// Sends refused because `maxQueuedBytes` waited.
    package var queueFull: UInt64 = 0
}

/// Why a stream is over.
package enum PlaneClosure: Sendable, CustomStringConvertible {
    /// This node closed it.
    case local(String)
    /// The peer closed it in order, and said why.
    case peer(String)
    case failed(MeshError)

    package var description: String {
        switch self {
        case .local(let reason): "closed here: \(reason)"
        case .peer(let reason): "closed by the peer: \(reason)"
        case .failed(let error): error.description
        }
    }
}
