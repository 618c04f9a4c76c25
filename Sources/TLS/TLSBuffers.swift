import Glibc

/// Encrypted bytes on their way in and out, of one thread: many records come and leave with one call of the kernel.
///
/// Between two calls of connections both are empty: a connection that wrote must `flush`, and one that reads must go on until it wants more, before another
/// one has its turn. Not thread-safe.
public final class TLSBuffers {
    /// So many bytes may gather in each.
    public static let capacity = 256 << 10
    let output: UnsafeMutablePointer<State>
    let input: UnsafeMutablePointer<State>

    struct State {
        let base: UnsafeMutableRawPointer
        var offset = 0
        var count = 0
        /// Whose bytes they are.
        var owner: TLSWire.Pointer?
    }

    public init() {
        output = Self.make()
        input = Self.make()
    }

    deinit {
        for state in [output, input] {
            state.pointee.base.deallocate()
            state.deallocate()
        }
    }

    private static func make() -> UnsafeMutablePointer<State> {
        let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
        state.initialize(to: State(base: .allocate(byteCount: capacity, alignment: 4096)))
        return state
    }
}
