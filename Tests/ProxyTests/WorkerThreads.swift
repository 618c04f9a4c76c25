import Glibc

/// What the kernel says about the threads of this process's workers.
enum WorkerThreads {
    /// Seconds that they have run.
    static var seconds: Double {
        texts("schedstat").reduce(0) { $0 + (Double($1.split(separator: " ").first ?? "0") ?? 0) } / 1e9
    }

    /// The pieces in which they are given their share of the processor, in nanoseconds; empty before Linux 6.12, which does not show them.
    static var slices: [String] {
        texts("sched").flatMap { $0.split(separator: "\n").filter { $0.hasPrefix("se.slice") }.compactMap { $0.split(separator: " ").last.map(String.init) } }
    }

    private static func texts(_ file: String) -> [String] {
        names("/proc/self/task").filter { text("/proc/self/task/\($0)/comm").hasPrefix("weft-worker") }.map { text("/proc/self/task/\($0)/\(file)") }
    }

    private static func text(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 8192)
        return String(decoding: bytes.prefix(fread(&bytes, 1, bytes.count, file)), as: UTF8.self)
    }

    private static func names(_ path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } })
        }
        return names.filter { !$0.hasPrefix(".") }
    }
}
