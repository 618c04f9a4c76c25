import CLinux
import Glibc
import Reactor

/// Gives memory back to the kernel when load has gone.
///
/// malloc keeps what was freed: after a storm of slow readers hundreds of megabytes, since one small block that lives on at the end of an arena keeps all
/// before it. A look costs some microseconds; giving back is done only when there is much to give, and while it goes on the workers may wait for some
/// milliseconds when they allocate.
@Control
struct MemoryReturn {
    static let interval: Duration = .seconds(5)
    /// Kept without a need: it will be wanted again.
    private static let slack = 2 << 20
    /// What was not malloc's at the start, or could not be given back the last time.
    private var stuck = Self.unused() ?? 0
    /// Bytes that were in use the last time. What could not be given back then may be free to go once many of them have gone.
    private var used = clinux_allocated()

    static func start() {
        var state = MemoryReturn()
        ControlLoop.shared.every(interval) { state.look() }
    }

    private mutating func look() {
        guard let unused = Self.unused(), unused > Self.slack, unused > stuck + Self.slack || clinux_allocated() + Self.slack < used else { return }
        clinux_trim()
        stuck = Self.unused() ?? 0
        used = clinux_allocated()
    }

    /// Resident bytes that are neither malloc's nor mapped from files: what malloc keeps free, and stacks and data, which are small.
    private static func unused() -> Int? {
        guard let file = fopen("/proc/self/statm", "re") else { return nil }
        defer { fclose(file) }
        var text = [CChar](repeating: 0, count: 128)
        guard fgets(&text, CInt(text.count), file) != nil else { return nil }
        let fields = text.prefix { $0 != 0 }.split(separator: 32).compactMap { Int(String(decoding: $0.map(UInt8.init), as: UTF8.self)) }
        guard fields.count > 2 else { return nil }
        return (fields[1] - fields[2]) * Int(sysconf(Int32(_SC_PAGESIZE))) - clinux_allocated()
    }
}
