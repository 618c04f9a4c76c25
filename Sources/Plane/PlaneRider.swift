import MeshModel
import Reactor

/// What else travels on the streams that a module keeps to other nodes: it registers its frames there instead of opening streams of its own.
@Control
package struct PlaneRider {
    /// The types that are its own.
    package let frames: [FrameType]
    /// A stream to a node is up, or took the place of another.
    package let connected: @Control (_ node: String) -> Void
    package let disconnected: @Control (_ node: String) -> Void
    /// A frame of one of its types.
    package let received: @Control (Frame, _ node: String) -> Void
    /// Answers a node's question with the payload of the answer. What it throws goes to the asker.
    package typealias Answerer = @Control (Frame, _ node: String) async throws(MeshError) -> [UInt8]
    /// Questions that it answers, by type.
    package let answers: [FrameType: Answerer]

    package init(
        frames: [FrameType] = [], connected: @escaping @Control (String) -> Void, disconnected: @escaping @Control (String) -> Void = { _ in },
        received: @escaping @Control (Frame, String) -> Void = { _, _ in }, answers: [FrameType: Answerer]
    ) {
        self.frames = frames
        self.connected = connected
        self.disconnected = disconnected
        self.received = received
        self.answers = answers
    }
}
