/// How many bytes a peer may send on one stream before they were taken. What is advertised can't be taken back, so it is rationed before it is needed.
public enum StreamWindow {
    /// A namespace that has little left still gets streams, with this.
    public static let smallest = 16 << 10
    /// What a new stream may get; enough for the first round trips, after which `next` knows what it uses.
    public static let largestInitial = 256 << 10
    public static let largest = 4 << 20
    /// What the windows of new streams above the smallest may add up to: three eighths of the bound. The rest is for growth, and for many more of the smallest.
    private static let rationed = (parts: 3, of: 8)
    /// A new stream gets at most this part of what is left of that. With a larger one, the first streams would lock out the later ones; like this, 128 streams of
    /// a namespace with 256 MiB start with 256 KiB each, and 11,000 fit.
    private static let ration = 256

    /// A window may grow by this part of what is left of the spare memory: large ones stop first, and small ones can still become as large as they need.
    private static let growth = 8

    /// The window of a new stream: a power of two from 16 to 256 KiB.
    /// - Parameters:
    ///   - memory: the namespace's bound.
    ///   - charged: bytes that it is charged with.
    ///   - most: what the configuration allows a stream at first.
    public static func initial(memory: Int, charged: Int, most: Int = largestInitial) -> Int {
        let share = (memory / rationed.of * rationed.parts - charged) / ration
        var window = smallest
        while 2 * window <= min(share, most) { window *= 2 }
        return window
    }

    /// Whether one window may grow by so many bytes.
    /// - Parameters: see `initial`.
    public static func mayGrow(by change: Int, memory: Int, charged: Int) -> Bool { change <= (memory - memory / 4 - charged) / growth }

    /// What a stream's reader takes in a round trip, at least, when it is the window that keeps the stream back.
    public static func most(of window: Int) -> Int { window - window / 3 }

    /// The window from now on, after one round trip in which the stream's reader took `consumed` bytes. Doubled while most of it is used: then it is the window,
    /// and not the sender or the reader, that keeps the stream back.
    public static func next(_ window: Int, consumed: Int) -> Int {
        consumed >= most(of: window) ? max(window, min(2 * window, largest)) : window
    }
}
