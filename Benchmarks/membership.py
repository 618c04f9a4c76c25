"""Gossip beside HashiCorp's memberlist: hundreds of members with real sockets in one process, each on an address of its own.

Both programs (pool/ in Swift, memberlist/ in Go) take the same steps and print the same figures; both have memberlist's LAN timers.
"""

import json
import os
import signal
import subprocess
import threading
import time

from clients import ROOT
from contenders import Contender
from hosts import Failure
from scenario import Row, Scenario, also

PORT = 7946
LIBRARY = "/usr/share/gocode"


class Pool(Contender):
    """One program with all its members, in the near host's network."""

    process = None

    def command(self, nodes):
        raise NotImplementedError

    def begin(self, nodes, steps, before=()):
        """The program's figures, line by line, as it tells them."""
        words = (*before, *self.command(nodes), *steps)
        self.process = subprocess.Popen(self.near.on("other", *map(str, words)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            yield json.loads(line)
        if self.process.wait(timeout=30) != 0:
            raise Failure(f"{self.name}: the pool ended with {self.process.returncode}: {self.process.stderr.read()[-2000:]}")

    def stop(self):
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
            self.process.communicate()
            self.process = None


class WeftPool(Pool):
    name = "weft-pool"
    settings = "Weft's gossip as in the agent, LAN timers, no encryption."

    def command(self, nodes):
        return os.environ.get("WEFT_POOL", f"{ROOT}/.build/release/weft-pool"), "--nodes", nodes


class WeftLinked(WeftPool):
    name = "weft-linked"
    settings = "As weft-pool, and each member keeps TCP connections to three others, where the agent's plane keeps one to every other: when one ends, gossip looks at once."

    def command(self, nodes):
        return *super().command(nodes), "--links", 3


class Memberlist(Pool):
    """Debian's package of the library, with a program around it."""

    name = "memberlist"
    settings = "`DefaultLANConfig`, no encryption, 72 bytes of metadata; Debian's golang-github-hashicorp-memberlist-dev."

    def command(self, nodes):
        return self.program(), "--nodes", nodes

    @staticmethod
    def program():
        program, source = f"{ROOT}/.build/bench/memberlist", f"{ROOT}/Benchmarks/memberlist"
        if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(f"{source}/main.go"):
            subprocess.run(["go", "build", "-o", program, "."], cwd=source, env=os.environ | {"GO111MODULE": "off", "GOPATH": LIBRARY}, check=True)
        return program


def figures(report, names):
    return {name: report[name] for name in names if report.get(name) is not None}


def median(values):
    return sorted(values)[len(values) // 2]


def join(nodes):
    def sample(scenario, contender, seconds):
        for report in contender.begin(nodes, ["join"]):
            return figures(report, ("half", "all", "datagrams", "cpu")) | {"megabytes": report["bytes"] / 1e6}
        raise Failure(f"{contender.name}: it told nothing")

    return sample


def leave(nodes, times):
    """Processes that end, one after the other."""

    def sample(scenario, contender, seconds):
        reports = [report for report in contender.begin(nodes, ["join", "settle=3", f"exit={times}"]) if report["step"] == "exit"]
        known = [report["last"] for report in reports if report["last"] is not None]
        if len(known) < times:
            raise Failure(f"{contender.name}: {times - len(known)} of {times} were not noticed within a minute")
        return {"first": median([report["first"] for report in reports]), "median": median(known), "most": max(known)}

    return sample


def idle(nodes):
    def sample(scenario, contender, seconds):
        reports = list(contender.begin(nodes, ["join", "settle=20", f"watch={seconds:.0f}", "tags=5"]))
        watched = next(report for report in reports if report["step"] == "watch")
        changed = [report["last"] for report in reports if report["step"] == "tags" and report["last"] is not None]
        return figures(watched, ("datagrams", "bytes", "cpu_ms", "resident_kb", "false_deaths")) | {"tags": median(changed)}

    return sample


def lossy(nodes, percent):
    def sample(scenario, contender, seconds):
        host = contender.near
        rule = f"add rule inet loss input udp dport {PORT} numgen random mod 100 < {percent} drop"
        text = f"add table inet loss; add chain inet loss input {{ type filter hook input priority 0; }}; {rule}"
        for report in contender.begin(nodes, ["join", "settle=20", f"watch={seconds:.0f}"]):
            if report["step"] == "join" and percent:
                subprocess.run(host.on("other", "nft", text), check=True)
            if report["step"] == "watch":
                if percent:
                    subprocess.run(host.on("other", "nft", "delete table inet loss"), check=True)
                return figures(report, ("datagrams", "bytes", "suspicions", "false_deaths"))
        raise Failure(f"{contender.name}: it told nothing")

    return sample


def paused(nodes, pause=10, rest=20):
    """All members stop for some seconds, as when their machine is moved or its disk hangs, and go on; again and again."""

    def sample(scenario, contender, seconds):
        over = threading.Event()

        def pauses(pid):
            while not over.wait(rest / 2):
                os.kill(pid, signal.SIGSTOP)
                over.wait(pause)
                os.kill(pid, signal.SIGCONT)
                over.wait(rest / 2)

        hand = None
        try:
            for report in contender.begin(nodes, ["join", "settle=20", f"watch={seconds:.0f}"]):
                if report["step"] == "settle":
                    hand = threading.Thread(target=pauses, args=(contender.process.pid,))
                    hand.start()
                elif report["step"] == "watch":
                    return figures(report, ("suspicions", "false_deaths"))
        finally:
            over.set()
            if hand:
                hand.join()
        raise Failure(f"{contender.name}: it told nothing")

    return sample


def starved(nodes, seconds_of_hog=15):
    """One processor, shared with a program that never rests and weighs thirty times as much."""

    def sample(scenario, contender, seconds):
        hog, calm = None, None
        try:
            for report in contender.begin(nodes, ["join", "settle=20", f"watch={seconds_of_hog}", "settle=1", f"watch={seconds_of_hog}"], ("taskset", "-c", 1, "nice", "-n", 15)):
                if report["step"] == "watch" and calm is None:
                    calm = report
                    hog = subprocess.Popen(contender.near.on("other", "taskset", "-c", "1", "sh", "-c", "while :; do :; done"))
                    started = time.time()
                elif report["step"] == "watch":
                    return figures(report, ("suspicions", "false_deaths", "bytes")) | {"storm": report["bytes"] / calm["bytes"], "lasted": time.time() - started}
        finally:
            if hog:
                hog.kill()
                hog.wait()
        raise Failure(f"{contender.name}: it told nothing")

    return sample


PEER = ("memberlist",)


def scenario(name, title, rows, sample, contenders=("memberlist", "weft-pool"), seconds=30, rounds=3):
    return Scenario(f"membership-{name}", title, "plain", contenders, rows, sample, fresh=True, check=False, timed=False, seconds=seconds, rounds=rounds)


def joining(nodes, limit):
    return scenario(f"join-{nodes}", f"Gossip: {nodes} members join through one at once", [
        Row("all", "all know all", "s", ratio=1, limit=limit, peers=PEER), also("half", "half know all", "s"),
        Row("megabytes", "sent by UDP until then", "MB", ratio=1, peers=PEER), also("cpu", "CPU time of all", "s")], join(nodes))


def ending(nodes):
    return scenario(f"exit-{nodes}", f"Gossip: a process of {nodes} ends, and its ports refuse", [
        Row("median", "known to all, median", "s", limit=2, peers=PEER), Row("most", "known to all, the slowest of a run", "s", limit=4, peers=PEER),
        also("first", "known to one, median", "s")], leave(nodes, 6), ("memberlist", "weft-pool", "weft-linked"))


SCENARIOS = [
    joining(50, 2), joining(200, 2), ending(50), ending(200),
    scenario("idle", "Gossip: 100 members at rest", [
        Row("bytes", "sent by UDP for each member", "B/s", ratio=1, peers=PEER), Row("datagrams", "datagrams for each member", "1/s", ratio=1.02, peers=PEER),
        Row("cpu_ms", "CPU time for each member", "ms/s", ratio=1, peers=PEER), Row("resident_kb", "resident for each member", "KiB", ratio=1, peers=PEER),
        Row("tags", "other tags known to all", "s", peers=PEER), Row("false_deaths", "healthy members declared dead", "", limit=0, peers=PEER)], idle(100)),
    *(scenario(f"loss-{percent}", f"Gossip: 100 members, {percent} % of the datagrams lost", [
        Row("false_deaths", "healthy members declared dead", "", limit=0, peers=PEER), also("suspicions", "suspicions", ""),
        Row("bytes", "sent by UDP for each member", "B/s", ratio=1, peers=PEER)], lossy(100, percent), seconds=60, rounds=1) for percent in (5, 10, 20)),
    scenario("paused", "Gossip: 100 members in one process, stopped for 10 s of every 30 s", [
        Row("false_deaths", "healthy members declared dead", "", limit=0, peers=PEER), also("suspicions", "suspicions", "")], paused(100), seconds=90, rounds=1),
    scenario("starved", "Gossip: 200 members in one process with 3 % of a processor", [
        Row("false_deaths", "healthy members declared dead", "", limit=0, peers=PEER), Row("storm", "traffic against that at rest", "×", limit=5, peers=PEER),
        also("suspicions", "suspicions", "")], starved(200)),
]
