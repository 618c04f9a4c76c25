import Synchronization

/// A name or identity as a number. Zero is the empty name.
package typealias NameID = UInt32

/// Gives texts their numbers, so that flows hold no strings. Numbers are never reused.
///
/// From any thread: it locks, so workers ask only when a tunnel is made, never for a flow.
package final class Interner: Sendable {
    private struct State {
        var ids: [String: NameID] = ["": 0]
        var texts: [String] = [""]
    }
    private let state = Mutex(State())
    /// Texts beyond this share number zero: what a flood of names can cost is bounded.
    package static let bound = 1_000_000

    package init() {}

    package func id(_ text: String) -> NameID {
        state.withLock { state in
            if let id = state.ids[text] { return id }
            guard state.texts.count < Self.bound else { return 0 }
            let id = NameID(state.texts.count)
            state.texts.append(text)
            state.ids[text] = id
            return id
        }
    }

    package subscript(id: NameID) -> String { state.withLock { Int(id) < $0.texts.count ? $0.texts[Int(id)] : "" } }
}
