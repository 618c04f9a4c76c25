"""How samples are taken: one function for each kind of load."""

import json
import time

from hosts import Failure
from measure import kernel_memory, memory
from scenario import kernel_share, spent

CONNECTIONS = 32


def bulk(scenario, contender, seconds):
    figures = {}
    for flows in (1, 4):
        (gigabytes, duration), cpu = spent(scenario, contender, lambda: scenario.client(contender, "bulk").iperf(flows, seconds))
        figures[f"rate{flows}"] = 8 * gigabytes / duration
        if cpu.total > 0:
            figures[f"cost{flows}"], figures[f"yield{flows}"] = cpu.total / gigabytes, gigabytes / cpu.total
    return figures | kernel_share(cpu)


def messages(mode):
    def sample(scenario, contender, seconds):
        client = scenario.client(contender)
        result, cpu = spent(scenario, contender, lambda: client.load(mode, CONNECTIONS, scenario.message, seconds=seconds))
        figures = {"rate": result["count"] / result["seconds"], "p50": result["p50"] / 1000, "p99": result["p99"] / 1000}
        if cpu.total > 0:
            figures["cost"], figures["yield"] = 1e6 * cpu.total / result["count"], result["count"] / cpu.total
        return figures | kernel_share(cpu)
    return sample


def paced(rate):
    def sample(scenario, contender, seconds):
        result = scenario.client(contender).load("paced", CONNECTIONS, scenario.message, rate, seconds=seconds)
        return {key: result[key] / 1000 for key in ("p50", "p99", "p999")}
    return sample


def idle(scenario, contender, seconds):
    """KiB for each of many connections that are open and idle."""
    flows = min(scenario.flows, contender.capacity(scenario.way))
    paths = contender.cgroups(scenario.way)
    client = scenario.client(contender)
    time.sleep(1)
    before, kernel = {host: memory(path)[0] for host, path in paths.items()}, kernel_memory()
    process = client.hold(flows, scenario.message)
    try:
        opened = json.loads(process.stdout.readline() or "null")
        if not opened or opened["count"] < flows:
            raise Failure(f"{contender.name}: of {flows} connections {opened and opened['count']} could be opened")
        time.sleep(2)
        figures = {host: (memory(path)[0] - before[host]) / flows / 1024 for host, path in paths.items()}
        figures |= {"kernel": (kernel_memory() - kernel) / flows / 1024, "flows": flows}
    finally:
        process.stdin.close()
        status = process.wait(timeout=30)
    if status != 0:
        raise Failure(f"{contender.name}: connections did not stay open")
    return figures


def rest(scenario, contender, seconds):
    """MB of a proxy that was started and left alone."""
    time.sleep(3)
    anonymous, resident = memory(contender.cgroups(scenario.way)["near"])
    return {"anonymous": anonymous / 1e6, "resident": resident / 1e6}
