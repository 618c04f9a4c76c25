/// How many bytes a peer may send on one stream before they were taken. What is advertised can't be taken back, so it is rationed before it is needed.
public enum StreamWindow {
    /// A namespace that has little left still gets streams, with this.
    public static let smallest = 16 << 10
    /// What a new stream may get; enough for the first round trips, after which `next` knows what it uses.
    public static let largestInitial = 256 << 10
    public static let largest = 4 << 20
    /// A new stream gets at most this part of what is left. With a larger one, the first streams would lock out the later ones: were each given its share of half
    /// of the bound by the number of streams alone, windows would add up to the whole bound at 2,048 streams of 256 MiB; like this it takes 12,000.
    private static let ration = 1024

    /// The window of a new stream: a power of two from 16 to 256 KiB, so that what windows above the smallest add up to stays within half of the bound.
    /// - Parameters:
    ///   - memory: the namespace's bound.
    ///   - charged: bytes that it is charged with.
    ///   - most: what the configuration allows a stream at first.
    public static func initial(memory: Int, charged: Int, most: Int = largestInitial) -> Int {
        let share = (memory / 2 - charged) / ration
        var window = smallest
        while 2 * window <= min(share, most) { window *= 2 }
        return window
    }

    /// What a stream's reader takes in a round trip, at least, when it is the window that keeps the stream back.
    public static func most(of window: Int) -> Int { window - window / 3 }

    /// The window from now on, after one round trip in which the stream's reader took `consumed` bytes. Doubled while most of it is used: then it is the window,
    /// and not the sender or the reader, that keeps the stream back.
    public static func next(_ window: Int, consumed: Int) -> Int {
        consumed >= most(of: window) ? max(window, min(2 * window, largest)) : window
    }
}
