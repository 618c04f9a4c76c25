#!/usr/bin/python3
"""What the mesh costs between two hosts of this machine: the same calls straight and through it, in alternation, in one run.

Usage: Benchmarks/mesh.py [ROUNDS]      needs root; WEFTD and WEFT name the programs (default: the release build)

Each round takes, for straight calls and for captured ones over mutual TLS: small requests on kept connections (wrk), new connections one after the other
(wrk, Connection: close) and bulk (iperf3). CPU time is that of both agents, from /proc. Medians of all rounds are printed.
"""

import os
import re
import statistics
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f"{ROOT}/Examples/bookinfo")
from hosts import Lab, Failure, run, wait_until  # noqa: E402

SECONDS = 4
HAPROXY = """global
    maxconn 2000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
    bind :9080
    bind :9081
    http-request return status 200 content-type text/plain string "{body}"
"""


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def agents(lab):
    pids = []
    for name in lab.hosts:
        with open(f"{lab.cgroups}/{name}/weftd/cgroup.procs") as file:
            pids += [int(line) for line in file]
    return pids


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def wrk(host, workload, url, *options):
    out = host.run(workload, "wrk", "-t1", "-c32", f"-d{SECONDS}s", "--latency", *options, url, timeout=SECONDS + 20)
    if "Non-2xx" in out or "Socket errors: connect" in out:
        raise Failure(f"wrk against {url}:\n{out}")
    distribution = out[out.index("Latency Distribution"):]
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    return requests, *(milliseconds(re.search(rf"{share}%\s+(\S+)", distribution).group(1)) for share in (50, 99))


def iperf(host, workload, address, port):
    out = host.run(workload, "iperf3", "-c", address, "-p", str(port), "-t", str(SECONDS), "-f", "m", timeout=SECONDS + 20)
    return float(re.search(r"([\d.]+) Mbits/sec\s+receiver", out).group(1)) / 8000


def measured(lab, work):
    pids = agents(lab)
    before = sum(cpu_seconds(pid) for pid in pids)
    result = work()
    return result, sum(cpu_seconds(pid) for pid in pids) - before


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    weftd = os.environ.get("WEFTD", f"{ROOT}/.build/release/weftd")
    weft = os.environ.get("WEFT", f"{ROOT}/.build/release/weft")
    lab = Lab.create()
    try:
        a = lab.add_host("a", {"caller": "caller"}, weftd, weft)
        b = lab.add_host("b", {"web": "web", "bulk": "bulk"}, weftd, weft)
        b.declare("web", "web", 9080)
        b.declare("bulk", "bulk", 5201)
        with open(f"{b.directory}/haproxy.cfg", "w") as file:
            file.write(HAPROXY.format(body="x" * 1024))
        for host in (a, b):
            host.start_agent()
        a.weft("init", "bench.weft")
        b.weft("join", "-", input=a.weft("token", "create", "--node", "b", "--allow", "ns/default/sa/*")["token"])
        b.start("web", "haproxy", "-f", f"{b.directory}/haproxy.cfg")
        b.start("bulk", "iperf3", "-s", "-p", "5201")
        b.start("other", "iperf3", "-s", "-p", "5202")
        wait_until("both services are usable", lambda: all(s["usable"] for s in a.weft("services")["services"]) and len(a.weft("services")["services"]) == 2)
        samples = {}
        for _ in range(rounds):
            for way in ("straight", "mesh"):
                workload = "caller" if way == "mesh" else "other"
                url = "http://web:9080/" if way == "mesh" else f"http://{b.address}:9081/"
                for row, options in (("kept connections", ()), ("new connections", ("-H", "Connection: close"))):
                    (count, p50, p99), cpu = measured(lab, lambda: wrk(a, workload, url, *options))
                    samples.setdefault((row, way), []).append((count / SECONDS, p50, p99, 1e6 * cpu / count))
                address, port = ("bulk", 9080) if way == "mesh" else (b.address, 5202)
                rate, cpu = measured(lab, lambda: iperf(a, workload, address, port))
                samples.setdefault(("bulk", way), []).append((rate, cpu / (rate * SECONDS)))
        print(f"{rounds} rounds of {SECONDS} s, 32 connections, answers of 1 KiB; everything on this machine's {os.cpu_count()} cores\n")
        print(f"{'':18} {'':9} {'per second':>11} {'p50 ms':>8} {'p99 ms':>8} {'agents’ CPU':>16}")
        for (row, way), values in samples.items():
            medians = [statistics.median(column) for column in zip(*values)]
            if row == "bulk":
                print(f"{row:18} {way:9} {medians[0]:>8.2f} GB {'':>8} {'':>8} {medians[1]:>11.3f} s/GB")
            else:
                print(f"{row:18} {way:9} {medians[0]:>11.0f} {medians[1]:>8.2f} {medians[2]:>8.2f} {medians[3]:>9.1f} µs each")
    except Failure as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        lab.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
