import Glibc
import Membership
import Platform
import Reactor
import SWIM

/// One line of figures; what was not reached in time is null.
typealias Report = [String: Double?]

/// What all members have sent, and what the process has used, so far.
struct Usage {
    var time = MonotonicTime.now()
    var datagrams = 0.0
    var bytes = 0.0
    var cpu = 0.0
    /// Of the failure detector, all members together.
    var detector = ["probes": 0.0, "probes_failed": 0, "probes_discarded": 0, "checks": 0, "refutations": 0, "relayed": 0, "push_pulls": 0]

    @Control
    static func now(_ nodes: [Node]) -> Usage {
        var usage = Usage()
        for node in nodes {
            let counters = node.gossip.counters.core
            usage.datagrams += Double(counters.datagramsOut)
            usage.bytes += Double(counters.bytesOut)
            let more = [
                "probes": counters.probes, "probes_failed": counters.probesFailed, "probes_discarded": counters.probesDiscarded, "checks": counters.checks,
                "refutations": counters.refutations, "relayed": counters.relayed, "push_pulls": counters.pushPulls,
            ]
            usage.detector.merge(more.mapValues { Double($0) }) { $0 + $1 }
        }
        var resources = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &resources)
        for time in [resources.ru_utime, resources.ru_stime] { usage.cpu += Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return usage
    }

    func since(_ start: Usage) -> Usage {
        var usage = self
        usage.datagrams -= start.datagrams
        usage.bytes -= start.bytes
        usage.cpu -= start.cpu
        usage.detector.merge(start.detector) { $0 - $1 }
        usage.seconds = (time - start.time).seconds
        return usage
    }
    private var seconds = 0.0

    var total: Report { ["datagrams": datagrams, "bytes": bytes, "cpu": cpu] }

    func perNode(_ nodes: Int) -> Report {
        let share = seconds * Double(nodes)
        let use: Report = ["datagrams": datagrams / share, "bytes": bytes / share, "cpu_ms": cpu * 1000 / share, "resident_kb": Self.resident / Double(nodes)]
        return use.merging(detector.mapValues { Optional($0) }) { $1 }
    }

    private static var resident: Double {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        guard fgets(&line, 256, file) != nil else { return 0 }
        let fields = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }.split(separator: 32)
        return fields.count > 1 ? (Double(String(decoding: fields[1], as: UTF8.self)) ?? 0) * 4 : 0
    }
}
