/// Takes candidates in turn. One per service and worker; a plain value of one thread.
package struct RoundRobin: Sendable {
    private var next: UInt32

    /// - Parameter start: where to begin, so that workers that start together do not all begin with the same endpoint.
    package init(start: UInt32 = 0) { next = start }

    /// The next eligible candidate among `count`, or nil when none is.
    ///
    /// Over any run without a change of candidates each eligible one is taken equally often, give or take one.
    package mutating func pick(count: Int, eligible: (Int) -> Bool) -> Int? {
        guard count > 0 else { return nil }
        let first = Int(next) % count
        for offset in 0..<count {
            let index = (first + offset) % count
            if eligible(index) {
                next = UInt32((index + 1) % count)
                return index
            }
        }
        return nil
    }
}
