"""Whether one namespace's bulk transfers slow another one's small requests more than they must.

The requests always go through the proxy. The bulk transfers of another namespace saturate the machine meanwhile, once beside the proxy, straight to their
server, and once through it. What the machine itself costs the requests is in both; what the proxy adds by serving the two in turn is in the second only.
"""

import contextlib
import itertools
import json
import subprocess
import time

import ground
import weft
from clients import Client
from contenders import Direct
from hosts import Failure, wait_until
from scenario import Row, Scenario, also

# The namespace of the bulk transfers, and the name of its one workload; the requests are made in `default`.
CROWD = "crowd"
STREAMS, CONNECTIONS, RATE = 8, 16, 1000
# Seconds of bulk before the requests begin, and after they should have ended.
BEFORE, AFTER = 1.0, 1.0
turns = itertools.count()


class SharedWeft(weft.Weft):
    """One agent for two namespaces: the listeners for bulk transfers belong to a workload of the second."""

    name = "weft-shared"
    settings = "As weft, and the callers of bulk transfers are a workload of another namespace than those of requests. No limits but the default ones."

    def start(self, way):
        for host in (self.near, self.far):
            if host.agent is None or host.agent.poll() is not None:
                more = weft.COMMON + (weft.NO_CAPTURE if weft.can_do_without_capture() else "")
                host.configure(ground.accounts(host.name), more + (self.listeners() if host is self.near else ""))
                if host is self.near:
                    self.add_crowd()
                host.start_agent()
        super().start(way)
        wait_until("the workloads have their certificates", self.certified, timeout=30)

    @staticmethod
    def listeners():
        return "listeners:\n" + "".join(
            f"  - address: 127.0.0.1:{port}\n    to: {to}\n    workload: {CROWD if name.endswith('-bulk') else 'caller'}\n"
            for name, (port, to) in weft.LISTENERS.items())

    def add_crowd(self):
        path = f"{self.near.directory}/weft.yaml"
        with open(path) as file:
            text = file.read()
        more = f"  - name: {CROWD}\n    namespace: {CROWD}\n    cgroup: /{self.place.lab.prefix}/{self.near.name}/{CROWD}\n"
        with open(path, "w") as file:
            file.write(text.replace("workloads:\n", f"workloads:\n{more}", 1))

    def certified(self):
        return all(workload["certificate"] == "valid" for workload in self.near.weft("workloads")["workloads"])


@contextlib.contextmanager
def bulk(client, seconds):
    """Bulk transfers for as long as the body runs, which is about `seconds`. The body is given a list; at the end it holds their rate in Gbit/s."""
    words = ("iperf3", "-c", client.address, "-p", client.port, "-P", STREAMS, "-t", f"{BEFORE + seconds + AFTER:.0f}", "-J")
    process = subprocess.Popen(client.host.on(client.caller, *map(str, words)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    rate = []
    try:
        time.sleep(BEFORE)
        yield rate
        if process.poll() is not None:
            raise Failure(f"{client.contender.name}: the bulk transfers ended before the requests did")
        result = json.loads(process.communicate(timeout=seconds + 30)[0])
        if "error" in result:
            raise Failure(f"{client.contender.name}: iperf3: {result['error']}")
        received = result["end"]["sum_received"]
        rate.append(8 * received["bytes"] / 1e9 / received["seconds"])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def sample(scenario, contender, seconds):
    requests = scenario.client(contender)
    places = {"beside": Client(Direct(contender.place), f"{scenario.way}-bulk"), "through": scenario.client(contender, "bulk")}
    figures = {}

    def measure(where):
        result = requests.load("paced", CONNECTIONS, scenario.message, RATE, seconds=seconds)
        figures.update({f"{key}{where}": result[key] / 1000 for key in ("p50", "p99")})

    measure("alone")
    # In turn: what the first of two leaves behind is not always to the disadvantage of the same.
    for where in sorted(places, reverse=next(turns) % 2 == 1):
        with bulk(places[where], seconds) as rate:
            measure(where)
        figures[f"rate{where}"] = rate[0]
    return figures | {"ratio": figures["p99through"] / figures["p99beside"]}


def scenario(way, words):
    rows = [Row("ratio", "p99 of requests: bulk through the proxy ÷ bulk beside it", "×", limit=2.0, peers=())]
    rows += [also(f"{key}{where}", f"{key} of requests, {what}", "ms") for key in ("p99", "p50") for where, what in (
        ("through", "bulk through the proxy"), ("beside", "bulk beside it"), ("alone", "no bulk"))]
    rows += [also(f"rate{where}", f"bulk {what}", "Gbit/s", "more") for where, what in (("through", "through the proxy"), ("beside", "beside it"))]
    return Scenario(
        f"fairness-{way}", f"{words}: {RATE:,} requests of 64 B a second of one namespace, beside {STREAMS} bulk transfers of another", way,
        (SharedWeft.name,), rows, sample, fresh=True, seconds=8)


SCENARIOS = [scenario("plain", "Two namespaces, plaintext"), scenario("pair", "Two namespaces, mutual TLS")]
