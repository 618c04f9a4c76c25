/// The number of an origin's life: what grows from one to the next, above what tells apart two that grew to the same.
///
/// An origin that lost its state, a clock that was set back, or a copied machine can arrive at a number that another life had. Versions of the two
/// would look like the same records and never be compared again. The low bits are drawn at random for each life, so that one of the two is higher,
/// and the origin goes above it.
package enum Generation {
    static let saltBits: UInt64 = 20
    static let saltMask: UInt64 = (1 << saltBits) - 1

    /// The next generation: above `last`, and not below the clock, so that a lost directory is no lost order.
    ///
    /// - Parameter salt: any number; its low bits count.
    package static func after(_ last: UInt64, seconds: UInt64 = 0, salt: UInt64) -> UInt64 {
        max((last >> saltBits) + 1, seconds) << saltBits | salt & saltMask
    }
}
