import Glibc

/// Bytes that a destination did not take.
extension Worker {
    /// Keeps bytes for later. At the namespace's bound, or the worker's, it does not, and says why the flow must end.
    ///
    /// Both bounds count the memory that is held, not the bytes in it. A stash never grows beyond twice what was in it at once: a slow reader's bytes move
    /// to its front instead, however many pass through.
    func hold(_ half: inout Half, _ bytes: UnsafeRawPointer, _ count: Int) -> FlowEnd? {
        let needed = half.stashCount + count
        if needed > half.stashCapacity {
            // By doubling, up to a stream's window or one read of a socket: neither needs more.
            let most = half.prepaid > 0 ? half.prepaid : Self.relayRead
            let capacity = max(needed, min(max(2 * half.stashCapacity, Self.smallestStash), most))
            guard bufferedBytes + capacity - half.stashCapacity <= settings.limits.bufferedBytes else { return .memoryLimit }
            guard chargeStash(half, capacity) else { return .namespaceMemoryLimit }
            guard let larger = malloc(capacity) else {
                dischargeStash(half, capacity, left: half.stashCapacity)
                return .memoryLimit
            }
            if let old = half.stash {
                memcpy(larger, old + half.stashOffset, half.stashCount)
                free(old)
            }
            bufferedBytes += capacity - half.stashCapacity
            half.stash = larger
            half.stashOffset = 0
            half.stashCapacity = capacity
        } else if half.stashOffset + needed > half.stashCapacity {
            // Credit returns in halves of the window, so this moves at most as much as has left since the last time, or little.
            memmove(half.stash!, half.stash! + half.stashOffset, half.stashCount)
            half.stashOffset = 0
        }
        memcpy(half.stash! + half.stashOffset + half.stashCount, bytes, count)
        half.stashCount += count
        return nil
    }

    private static let smallestStash = 4096

    func freeStash(_ half: inout Half) {
        bufferedBytes -= half.stashCapacity
        dischargeStash(half, half.stashCapacity, left: 0)
        free(half.stash)
        half.stash = nil
        half.stashOffset = 0
        half.stashCount = 0
        half.stashCapacity = 0
    }
}
