"""What the data path does for each event, counted and not sampled: allocations, reference counting, instructions.

The callers' agent runs under callgrind, which counts every call; what the workers did in the middle of a steady load is divided by how often they read a socket.
"""

import glob
import os
import re
import signal
import subprocess
import time

import ground
import weft
from clients import LOAD
from hosts import Failure, wait_until
from scenario import Row, Scenario, also

CONNECTIONS = 32
# Seconds of load before counting begins, and of counting. The program is some fifty times slower under callgrind.
WARM, COUNTED = 6, 6
# What is counted, by the names of the functions called.
KINDS = {
    "reads": re.compile(r"^(recv|splice)(@@|$|')"),
    "allocations": re.compile(r"^(malloc|calloc|realloc|posix_memalign|aligned_alloc)(@@|$|')"),
    "openssl": re.compile(r"^CRYPTO_(malloc|realloc)(@@|$|')"),
    "references": re.compile(r"^_?swift_(retain|release|bridgeObjectRetain|bridgeObjectRelease)(_n)?(@@|$|')"),
}
# A thread that reads sockets in the data path's loop.
WORKER = "5Proxy6WorkerC"


class Counted(weft.Weft):
    """One agent under callgrind, with one worker."""

    name = "weft-counted"
    settings = "As weft, the callers' agent under `valgrind --tool=callgrind` with one worker."

    def start(self, way):
        host = self.near
        if host.agent is None or host.agent.poll() is not None:
            self.clear()
            host.configure(ground.accounts(host.name), weft.COMMON.replace("workers: 2", "workers: 1") + weft.LISTENING + weft.NO_CAPTURE)
            # Names are enough; the debugger's part is of a form that valgrind can't read.
            program = f"{host.directory}/weftd-named"
            subprocess.run(["strip", "--strip-debug", "-o", program, host.weftd], check=True)
            host.agent = host.start(
                "weftd", "valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={self.dumps}", program, "--config",
                f"{host.directory}/weft.yaml")
            wait_until("weftd answers under callgrind", host.agent_answers, timeout=90)
        super().start(way)

    @property
    def dumps(self):
        return f"{self.near.directory}/calls"

    def clear(self):
        for path in glob.glob(f"{self.dumps}*"):
            os.remove(path)

    def control(self, *words):
        subprocess.run(["callgrind_control", *words, str(self.near.agent.pid)], check=True, stdout=subprocess.DEVNULL, timeout=60)

    def count(self, load):
        """Counts of the workers while `load` runs, which must go on for long enough."""
        time.sleep(WARM)
        self.clear()
        self.control("--zero")
        time.sleep(COUNTED)
        self.control("--dump")
        if load.poll() is not None:
            raise Failure(f"{self.name}: the load ended before the counting did")
        counts = [calls(path) for path in glob.glob(f"{self.dumps}.*")]
        workers = [count for count in counts if count.pop("worker")]
        if not workers or not sum(count["reads"] for count in workers):
            raise Failure(f"{self.name}: no worker read anything")
        return {key: sum(count[key] for count in workers) for key in workers[0]}


def calls(path):
    """What one thread did, from its dump (valgrind's manual, Callgrind format)."""
    names, counts, worker, caller, kind = {}, dict.fromkeys([*KINDS, "instructions"], 0), False, "", None
    with open(path) as file:
        for line in file:
            if line.startswith(("fn=", "cfn=")):
                number, _, name = line.split("=", 1)[1].strip().partition(" ")
                if name:
                    names[number] = name
                    worker = worker or WORKER in name
                if line.startswith("f"):
                    caller = names[number]
                else:
                    kind = next((kind for kind, pattern in KINDS.items() if pattern.match(names[number])), None)
                    # Those count as OpenSSL's.
                    if kind == "allocations" and caller.startswith("CRYPTO_"):
                        kind = None
            elif line.startswith("calls="):
                if kind:
                    counts[kind] += int(line[6:].split()[0])
            elif line.startswith("summary:") or line.startswith("totals:"):
                counts["instructions"] = max(counts["instructions"], int(line.split()[1]))
    return counts | {"worker": worker}


def sample(scenario, contender, seconds):
    client = scenario.client(contender, scenario.services[0])
    words = (client.port, CONNECTIONS, WARM + COUNTED + 60)
    if scenario.services[0] == "bulk":
        command = ("iperf3", "-c", client.address, "-p", client.port, "-P", 4, "-t", WARM + COUNTED + 60)
    else:
        command = (LOAD, "requests", client.address, *words, scenario.message)
    load = subprocess.Popen(client.host.on(client.caller, *map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        counts = contender.count(load)
    finally:
        load.send_signal(signal.SIGKILL)
        load.wait()
    return {key: counts[key] / counts["reads"] for key in ("allocations", "openssl", "references", "instructions")} | {"reads": counts["reads"]}


def scenario(way, service, words):
    rows = [
        Row("allocations", "allocations of Weft for each read of a socket", "", limit=0.02, peers=()),
        also("openssl", "allocations of OpenSSL for each read", ""),
        Row("references", "retains and releases for each read", "", limit=0.02, peers=()),
        also("instructions", "instructions for each read, the kernel's not", ""), also("reads", "reads counted", "")]
    return Scenario(f"counts-{way}-{service}", f"Counted by callgrind: {words}", way, (Counted.name,), rows, sample, fresh=True, check=False, timed=False, rounds=2, services=(service,))


SCENARIOS = [
    scenario("plain", "echo", "plaintext requests"), scenario("plain", "bulk", "plaintext bulk"),
    scenario("pair", "echo", "requests with mutual TLS"), scenario("pair", "bulk", "bulk with mutual TLS")]
