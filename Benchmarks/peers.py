"""One real agent in a mesh of a thousand: weft-peers stands for all other nodes, since a thousand agents need more memory than there is."""

import json
import os
import subprocess

import weft
from catalog import Asked, Mesh, scenario
from clients import ROOT
from hosts import Failure, wait_until
from scenario import Row, also

# Where the other nodes live, all on one host.
NETWORK, FIRST = "10.97.0.0/16", "10.97.0.1"
# Larger than the names of the others, so that they dial.
NAME = "zz"


class Peers(Mesh):
    """The agent, and the program that stands for the rest."""

    name = "weft-peers"
    settings = "One agent as in weft-mesh; all other nodes are one program, where each has certificate, stream, records and gossip of its own."
    process = None

    def build(self, nodes, each):
        self.endpoints = nodes * each
        agent = self.add_agent(NAME, 0, each)
        others = self.place.lab.add_host("others", {}, weft.WEFTD, weft.WEFT)
        agent.inside("ip", "route", "add", NETWORK, "via", others.address)
        others.inside("ip", "route", "add", "local", NETWORK, "dev", "lo")
        agent.start_agent()
        agent.weft("init", "bench.weft")
        program = os.environ.get("WEFT_PEERS", f"{ROOT}/.build/release/weft-peers")
        options = {"nodes": nodes - 1, "endpoints": each, "state": f"{agent.directory}/state", "agent": agent.address, "name": NAME, "first": FIRST}
        self.process = subprocess.Popen(
            others.on("other", program, *(word for name, value in options.items() for word in (f"--{name}", str(value)))),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for step in ("made", "connected", "joined"):
            line = self.process.stdout.readline()
            if not line or json.loads(line) != {"step": step, "count": nodes - 1}:
                raise Failure(f"weft-peers says {line!r} instead of {nodes - 1} {step}")
        self.hosts = [agent]
        self.asked = [Asked(agent.socket)]
        wait_until("the agent routes to all endpoints", lambda: self.routes(self.asked[0]) == self.endpoints, timeout=60, interval=0.5)

    def received(self):
        """Bytes that came for the agent."""
        [link] = json.loads(self.place.lab.switch("ip", "-s", "-j", "link", "show", f"port-{NAME}"))
        return link["stats64"]["tx"]["bytes"]

    def rest(self, seconds):
        before = self.received()
        found = super().rest(seconds)
        # Over the ten seconds before the others are looked at, too.
        return found | {"received": (self.received() - before) / (seconds + 10)}

    def cold(self):
        self.end_and_forget(self.hosts[0])
        return {"cold": self.start_until(self.hosts[0], self.endpoints)}

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.process = None
        self.hosts = [host for name, host in self.place.lab.hosts.items() if name in (NAME, "others")]
        super().stop()


def of_peers(nodes, each):
    def sample(_, contender, seconds):
        contender.build(nodes, each)
        return contender.rest(seconds) | contender.cold()

    return sample


SCENARIOS = [
    scenario("1000-20", "Catalog: one agent among 1,000 nodes with 20 endpoints each", [
        also("resident", "resident", "MB"), also("bytes", "sent at rest", "B/s"), also("received", "received at rest", "B/s"),
        also("cpu", "CPU time at rest", "ms/s"), also("cold", "start of the agent until it routes to 20,000 endpoints, a thousand dialling it", "s")],
        of_peers(1000, 20), seconds=60, contender=Peers),
]
