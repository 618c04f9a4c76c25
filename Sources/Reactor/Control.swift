/// The isolation of everything that is not the data path: it runs on `ControlLoop.shared`'s thread.
@globalActor
public actor Control {
    public static let shared = Control()
    public nonisolated var unownedExecutor: UnownedSerialExecutor { ControlLoop.shared.asUnownedSerialExecutor() }
}

extension Control {
    /// For callers that know they are on the control thread but cannot say so in their type, as C callbacks. Traps elsewhere.
    public static func assumeIsolated<T: Sendable>(_ body: @Control () throws -> T) rethrows -> T {
        ControlLoop.shared.checkIsolated()
        // The same cast as the standard library's MainActor.assumeIsolated: the isolation was checked one line above.
        return try withoutActuallyEscaping(body) { try unsafeBitCast($0, to: (() throws -> T).self)() }
    }
}
