import Synchronization

/// A flag that is set once.
final class Flag: Sendable {
    private let value = Atomic(false)
    /// True for the first caller only.
    func set() -> Bool { !value.exchange(true, ordering: .acquiringAndReleasing) }
    var isSet: Bool { value.load(ordering: .acquiring) }
}
