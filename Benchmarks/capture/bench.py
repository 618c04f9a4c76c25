"""CPU time of client, relay, server and ksoftirqd for a unit of work, all modes in turn in every round.

All of them run on one processor: where the scheduler would place them makes more of a difference than the modes do.
"""

import os
import statistics

import rules
from lab import cpu

CONNECTIONS, REQUESTS, BYTES = 3008, 24000, 400 << 20


def ksoftirqd():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                if file.read().startswith("ksoftirqd/"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def sample(lab, mode, inbound, v6, softirq):
    """Microseconds: per connection, per request, and per MiB. Each as a pair: everybody's, the relay's."""
    here, there = ("B", "A") if inbound else ("A", "B")
    net = ("fd79::1000" if inbound else "fd78::1000") if v6 else ("10.79.1.0" if inbound else "10.78.1.0")
    if inbound:
        prefix = net[:-1] if v6 else "10.79.1."
        endpoints = [(f"{prefix}{n:x}" if v6 else f"{prefix}{n}", port) for n in range(16) for port in (8080, 8081)]
        lab.load(rules.inbound(mode, endpoints))
    else:
        lab.load(rules.outbound(mode, [lab.cgroup_path("app")]))
    relay = None
    if mode != "direct":
        relay = lab.relay(mode, inbound, *(("--spoof", hex(rules.SPOOF)) if inbound else ()))
    lab.flush()
    servers = [lab.serve(there, "echo", 8080), lab.serve(there, "sink", 8081)]
    results = []
    for what, units, port, scale in (
            ("connect", CONNECTIONS, 8080, 1), ("request", REQUESTS, 8080, 1), ("bulk", BYTES, 8081, 1 << 20)):
        def spent():
            return (cpu(relay.pid) if relay else 0, sum(cpu(s.pid) for s in servers) + sum(cpu(pid) for pid in softirq))
        before = spent()
        report = lab.client(here, "app" if not inbound else "plain", what, units, net, 16, port)
        after = spent()
        if report["failures"] or report["units"] < units:
            raise RuntimeError(f"{mode} {what}: {report}")
        own = after[0] - before[0]
        total = own + after[1] - before[1] + report["cpu"]
        count = report["units"] / scale
        results.append((total / count * 1e6, own / count * 1e6))
    lab.stop(relay)
    for server in servers:
        lab.stop(server)
    return results


def bench(lab, rounds, v6=False, inbound=False, only=None):
    modes = [m for m in (rules.INBOUND_MODES if inbound else rules.OUTBOUND_MODES) if not only or m in only]
    taken = {mode: [] for mode in modes}
    softirq = ksoftirqd()
    lab.processor = max(os.sched_getaffinity(0))
    for number in range(rounds):
        shift = number % len(modes)
        for mode in modes[shift:] + modes[:shift]:
            taken[mode].append(sample(lab, mode, inbound, v6, softirq))
    lab.reset()
    title = f"{'inbound' if inbound else 'outbound'}, IPv{6 if v6 else 4}, {rounds} rounds, median [quartiles]; ratio to redirect in the same round"
    print(f"\n{title}")
    print(f"{'mode':18}{'µs/connection':>28}{'µs/request':>28}{'µs/MiB':>28}   the relay's own")
    for mode in modes:
        cells, own = "", []
        for column in range(3):
            values = [s[column][0] for s in taken[mode]]
            ratios = [s[column][0] / r[column][0] for s, r in zip(taken[mode], taken["redirect"])]
            quart = statistics.quantiles(values, n=4)
            text = f"{statistics.median(values):.1f} [{quart[0]:.1f}–{quart[2]:.1f}] ×{statistics.median(ratios):.2f}"
            cells += f"{text:>28}"
            own.append(statistics.median([s[column][1] for s in taken[mode]]))
        print(f"{mode:18}{cells}   {own[0]:.1f} / {own[1]:.1f} / {own[2]:.1f}", flush=True)
