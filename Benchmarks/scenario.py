"""What a scenario is: how one sample is taken of one contender, and which rows of the report come of it."""

import time
from dataclasses import dataclass, field

from clients import Client
from measure import Cpu, cgroup_cpu

# Who is a peer of Weft's, in whatever is compared.
PEERS = ("haproxy", "haproxy-default", "envoy", "envoy-hbone")


@dataclass
class Row:
    """One figure of a scenario. `key` names it in a sample."""

    key: str
    title: str
    unit: str
    # Less is better, or more.
    better: str = "less"
    # Weft's figure divided by that of the best peer: at most this, or at least; None: the row is only for reading.
    ratio: float | None = None
    # Weft's own figure: at most this.
    limit: float | None = None
    # Who counts as a peer here.
    peers: tuple = PEERS
    # The figure is what a contender adds to this one's.
    above: str = ""


def also(key, title, unit, better="less"):
    """A row that is only for reading."""
    return Row(key, title, unit, better, peers=())


@dataclass
class Scenario:
    name: str
    title: str
    # plain, redirect or pair: see contenders.py.
    way: str
    contenders: tuple
    rows: list
    # (scenario, contender, seconds) → key → figure; a contender may lack some.
    sample: object
    # Every sample gets processes that have done nothing yet, and no others run beside them.
    fresh: bool = False
    # Contenders are asked before they are measured; not where asking would spoil the measurement.
    check: bool = True
    # What is measured is time: other programs disturb it.
    timed: bool = True
    # Rounds are this long, and so many, unless told otherwise.
    seconds: float = 5
    rounds: int = 5
    flows: int = 0
    message: int = 64
    services: tuple = field(default=("echo",))

    def client(self, contender, service="echo"):
        return Client(contender, f"{self.way}-{service}")


def spent(scenario, contender, work):
    """Runs `work`; returns what it returned and the CPU time that the contender's proxies had for it."""
    paths = contender.cgroups(scenario.way).values()
    before = sum((cgroup_cpu(path) for path in paths), Cpu())
    result = work()
    # The last connections are still being taken down.
    time.sleep(0.05)
    return result, sum((cgroup_cpu(path) for path in paths), Cpu()) - before


def kernel_share(cpu):
    return {"kernel": 100 * cpu.system / cpu.total} if cpu.total > 0 else {}
