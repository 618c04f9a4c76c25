import MeshModel
import Plane
import Platform
import Reactor
import TLS

/// Answers nodes on the authority's side: joins on `weft-join/1`, certificates on `weft-plane/1`.
@Control
package final class JoinServer {
    /// Strangers at once; a stream more is closed.
    package static let maximumStreams = 64
    /// What one stream may ask before it must end.
    package static let maximumRequests = 4
    package static let lifetime = Duration.seconds(20)

    /// The bounds for peers that have shown no certificate.
    package static var settings: PlaneSettings {
        var settings = PlaneSettings()
        settings.maxFrameBytes = JoinRequest.maximumBytes
        settings.receiveBuffer = Int32(JoinRequest.maximumBytes)
        settings.maxQueuedBytes = 4 * JoinRequest.maximumBytes
        settings.maxServedRequests = 1
        return settings
    }

    private let identity: NodeIdentity
    /// Streams open now, and those refused because too many were.
    package private(set) var streams = 0
    package private(set) var refusedStreams: UInt64 = 0

    package init(_ identity: NodeIdentity) { self.identity = identity }

    /// Takes a connection with ALPN `weft-join/1` whose handshake is done.
    package func serveJoin(_ connection: consuming TLSConnection) {
        let stream = PlaneStream(accepted: connection, settings: Self.settings)
        guard streams < Self.maximumStreams else {
            refusedStreams += 1
            // Started, so that the joiner is told why.
            stream.start()
            return stream.close("too many nodes join at this moment")
        }
        streams += 1
        let end = ControlLoop.shared.after(Self.lifetime) { [weak stream] in stream?.close("this took too long") }
        stream.onClose = { [self] _ in
            streams -= 1
            ControlLoop.shared.cancel(end)
        }
        var left = Self.maximumRequests
        stream.answer(.join) { [identity] frame throws(MeshError) in
            left -= 1
            guard left >= 0 else { throw .badRequest("too many requests on one stream") }
            let request = try Wire.decode(JoinRequest.self, frame.payload)
            return try Wire.encode(await Self.authority(identity).handleJoin(request, seeds: identity.seeds()))
        }
        stream.answer(.recover) { [identity] frame throws(MeshError) in
            left -= 1
            guard left >= 0 else { throw .badRequest("too many requests on one stream") }
            let request = try Wire.decode(RecoverRequest.self, frame.payload)
            return try Wire.encode(await Self.authority(identity).handleRecover(request))
        }
        stream.start()
    }

    /// Lets an accepted `weft-plane/1` stream ask for certificates. Call before the stream's `start`.
    package func register(on stream: PlaneStream) {
        let leaf = stream.peerChainDER.first ?? []
        stream.answer(.sign) { [identity] frame throws(MeshError) in
            let request = try Wire.decode(SignRequest.self, frame.payload)
            return try Wire.encode(await Self.authority(identity).handleSign(request, peerLeaf: leaf))
        }
    }

    private static func authority(_ identity: NodeIdentity) throws(MeshError) -> AuthorityService {
        if let authority = identity.authority { return authority }
        throw MeshError(
            .peer, code: "not_authority", "this node (\(identity.mesh?.node ?? "in no mesh")) does not hold the mesh's authority",
            remedy: "ask \(identity.mesh?.authority ?? "the node where `weft init` was run")")
    }
}
