"""The catalog of whole meshes: real agents, each in a network namespace of its own, that hear of each other's endpoints.

The agents have memberlist's LAN timers, one worker each and nothing captured. All of them share this machine's cores, as hosts never would.
"""

import http.client
import json
import os
import random
import re
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import weft
from contenders import Contender
from hosts import Failure, kill_cgroup, wait_until
from measure import cgroup_cpu
from scenario import Row, Scenario, also

PORT = 9080
SETTINGS = "workers: 1\n" + weft.NO_CAPTURE
# How many things are done at once while the mesh is made.
HANDS = 4


# How many neighbours the kernel knows, those of all namespaces together: a thousand unless told otherwise, and everybody here talks with everybody.
NEIGHBOURS = "/proc/sys/net/ipv4/neigh/default/gc_thresh3"


class Asked(http.client.HTTPConnection):
    """An agent's API, over its socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def exchange(self, method, path, payload):
        self.request(method, path, payload, {"Content-Type": "application/json"})
        answer = self.getresponse()
        return answer, answer.read().decode()

    def ask(self, method, path, body=None):
        """The answer's text; nothing when there is no such thing."""
        payload = json.dumps(body) if body is not None else None
        try:
            try:
                answer, text = self.exchange(method, path, payload)
            except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
                # The agent closes a connection that was not used for a while.
                self.close()
                answer, text = self.exchange(method, path, payload)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Failure(f"{method} {path}: {error}")
        if answer.status not in (200, 404):
            raise Failure(f"{method} {path}: {answer.status} {text[:200]}")
        return text if answer.status == 200 else ""


def declared(service, port, check):
    return f"service: {service}\nport: {PORT}\ntargetPort: {port}\nworkload: app\nversion: v1\ncheck:\n  {check}\n"


class Mesh(Contender):
    """As many agents as a sample wants, each with as many endpoints."""

    name = "weft-mesh"
    settings = "Agents of one worker, nothing captured, LAN timers; a namespace for each on one bridge; endpoints that nobody checks."

    def __init__(self, place):
        super().__init__(place)
        self.hosts, self.asked, self.endpoints = [], [], 0
        self.neighbours = None

    def build(self, nodes, each):
        """A mesh that has come to know all of its endpoints."""
        self.endpoints = nodes * each
        with open(NEIGHBOURS) as file:
            self.neighbours = file.read()
        self.allow(max(int(self.neighbours), 4 * nodes * nodes))
        for number in range(nodes):
            host = self.add_agent(f"m{number}", number, each)
            with open(f"{host.directory}/services.d/changing.yaml", "w") as file:
                file.write("---\n".join(declared(f"{name}{number}", port, "ttl: 600s\n  initial: unhealthy") for name, port in (("probe", 9998), ("mark", 9999))))
        with ThreadPoolExecutor(HANDS) as hands:
            list(hands.map(lambda host: host.start_agent(), self.hosts))
        first = self.hosts[0]
        first.weft("init", "bench.weft")
        with ThreadPoolExecutor(HANDS) as hands:
            # A hundred at once on a few cores: one may have to try again.
            list(hands.map(lambda host: wait_until(f"{host.name} joins", lambda: self.join(host), timeout=60, interval=1), self.hosts[1:]))
        self.asked = [Asked(host.socket) for host in self.hosts]
        for asked in self.asked:
            wait_until("every node routes to all endpoints", lambda: self.routes(asked) == self.endpoints, timeout=120, interval=0.5)

    def add_agent(self, name, number, each):
        """A host whose agent is not started yet, with endpoints that nobody checks."""
        host = self.place.lab.add_host(name, {"app": "app"}, weft.WEFTD, weft.WEFT, SETTINGS)
        self.hosts.append(host)
        with open(f"{host.directory}/weft.yaml") as file:
            text = file.read()
        with open(f"{host.directory}/weft.yaml", "w") as file:
            file.write(text.replace("timers: local", "timers: lan"))
        with open(f"{host.directory}/services.d/all.yaml", "w") as file:
            file.write("---\n".join(declared(f"s{(number + index) % 200}", 10000 + index, "tcp: false") for index in range(each)))
        return host

    @staticmethod
    def allow(neighbours):
        with open(NEIGHBOURS, "w") as file:
            file.write(str(neighbours))

    def join(self, host):
        token = self.hosts[0].weft("token", "create", "--node", host.name, "--allow", "ns/default/sa/*")["token"]
        return host.weft("join", "-", input=token)

    @staticmethod
    def routes(asked):
        """How many endpoints a node would give traffic."""
        found = re.search(r'^weft_endpoints\{usable="true"\} (\d+)', asked.ask("GET", "/metrics"), re.MULTILINE)
        return int(found[1]) if found else 0

    def stop(self):
        if self.neighbours:
            self.allow(int(self.neighbours))
            self.neighbours = None
        for asked in self.asked:
            asked.close()
        for host in self.hosts:
            kill_cgroup(f"{self.place.lab.cgroups}/{host.name}")
            for process in host.programs:
                process.wait()
            # With its namespace it would go, too, but only some time later, and the next mesh has one of the same name.
            subprocess.run(["ip", "-n", f"{self.place.lab.prefix}-net", "link", "del", f"port-{host.name}"], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["ip", "netns", "del", f"{self.place.lab.prefix}-{host.name}"], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(host.directory, ignore_errors=True)
            del self.place.lab.hosts[host.name]
        self.hosts, self.asked = [], []

    def last_words(self):
        return "".join(host.log_tail("weftd", 3) for host in self.hosts[:3])

    # What is measured.

    def rest(self, seconds):
        """Memory, traffic and CPU time of a node while nothing happens."""
        time.sleep(10)
        sent, used, begin = self.sent(), self.cpu(), time.monotonic()
        time.sleep(seconds)
        lasted, count = time.monotonic() - begin, len(self.hosts)
        sent, used = self.sent() - sent, self.cpu() - used
        resident = sorted(self.resident(host.agent.pid) for host in self.hosts)
        return {"resident": resident[count // 2] / 1024, "bytes": sent / lasted / count, "cpu": 1000 * used / lasted / count}

    def sent(self):
        """Bytes that the nodes have sent: what the bridge's ports received."""
        ports = {f"port-{host.name}" for host in self.hosts}
        links = json.loads(self.place.lab.switch("ip", "-s", "-j", "link"))
        return sum(link["stats64"]["rx"]["bytes"] for link in links if link["ifname"] in ports)

    def cpu(self):
        return sum(cgroup_cpu(f"{self.place.lab.cgroups}/{host.name}/weftd").total for host in self.hosts)

    @staticmethod
    def resident(process):
        with open(f"/proc/{process}/status") as file:
            return int(next(line for line in file if line.startswith("VmRSS")).split()[1])

    def tell(self, number, service, usable):
        """A heartbeat is a change that needs no disk, of which all hosts here have the same."""
        self.asked[number].ask("POST", f"/v1/heartbeats/{service}{number}", {"status": "passing" if usable else "failing"})

    def holds(self, asked, number, service, usable):
        text = asked.ask("GET", f"/v1/services/{service}{number}")
        return bool(text) and all(one["usable"] == usable for one in json.loads(text)["endpoints"])

    def changes(self, times):
        """Milliseconds from a change at one node until another routes to what changed.

        Eight others are asked after each change, drawn anew: to ask a hundred takes longer than a change does, on the processors that it needs."""
        waits = []
        state = [False] * len(self.hosts)
        for _ in range(times):
            writer = random.randrange(len(self.hosts))
            state[writer] = not state[writer]
            others = [asked for index, asked in enumerate(self.asked) if index != writer]
            waiting = random.sample(others, min(8, len(others)))
            begin = time.monotonic()
            self.tell(writer, "probe", state[writer])
            while waiting:
                if time.monotonic() - begin > 10:
                    raise Failure(f"{len(waiting)} nodes have not heard of a change of {self.hosts[writer].name} within 10 s")
                left = []
                for asked in waiting:
                    if self.holds(asked, writer, "probe", state[writer]):
                        waits.append(1000 * (time.monotonic() - begin))
                    else:
                        left.append(asked)
                waiting = left
            time.sleep(0.5)
        waits.sort()
        return {"p50": waits[len(waits) // 2], "p99": waits[len(waits) * 99 // 100], "most": waits[-1]}

    def cold(self, starts):
        """Seconds from the start of an agent that has no record of others until it routes to all: the median of some, and the longest."""
        seconds = sorted(self.cold_start() for _ in range(starts))
        return {"cold": seconds[starts // 2], "coldest": seconds[-1]}

    def cold_start(self):
        host, last = self.hosts[-1], len(self.hosts) - 1
        # An agent that starts has had no heartbeat.
        self.tell(last, "probe", False)
        wait_until("the others know", lambda: self.holds(self.asked[0], last, "probe", False), timeout=10, interval=0.05)
        total = self.routes(self.asked[0])
        self.end_and_forget(host)
        # The others take its end for what it is.
        wait_until("the others notice", lambda: self.routes(self.asked[0]) < total, timeout=30)
        seconds = self.start_until(host, total)
        wait_until("the others know it again", lambda: self.routes(self.asked[0]) == total, timeout=30)
        return seconds

    def end_and_forget(self, host):
        """The last agent ends, and its disk has nothing of others."""
        host.stop_agent()
        self.asked[-1].close()
        shutil.rmtree(f"{host.directory}/state/catalog/remote")

    def start_until(self, host, total):
        """Seconds from the last agent's start until it routes to so many endpoints."""
        begin = time.monotonic()
        host.agent = host.start("weftd", weft.WEFTD, "--config", f"{host.directory}/weft.yaml")
        wait_until("the node routes to all", lambda: os.path.exists(host.socket) and self.routes(self.asked[-1]) == total, timeout=60, interval=0.005)
        return time.monotonic() - begin

    def sustained(self, rate, seconds):
        """So many changes a second, the nodes in turn, and how long after the last one all nodes route by it."""
        writers, begin = len(self.asked), time.monotonic()

        def write(writer):
            """By how much the latest of its changes came after it was due."""
            late, usable = 0.0, False
            for number in range(writer, int(rate * seconds), writers):
                wait = begin + number / rate - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                late = max(late, -wait)
                usable = not usable
                self.tell(writer, "probe", usable)
            # What comes after all of them: whoever has it has them too, since a node's changes are signed and sent in their order.
            self.tell(writer, "mark", True)
            return late

        with ThreadPoolExecutor(writers) as hands:
            late = max(hands.map(write, range(writers)))
        end = time.monotonic()
        for asked in self.asked:
            for writer in range(writers):
                wait_until("every node routes by the last change", lambda: self.holds(asked, writer, "mark", True), timeout=60, interval=0.005)
        return {"rate": int(rate * seconds) / (end - begin), "lag": 1000 * (time.monotonic() - end), "late": 1000 * late}


def of_many(nodes, each):
    def sample(scenario, contender, seconds):
        contender.build(nodes, each)
        return contender.rest(seconds) | contender.changes(60) | contender.cold(7)

    return sample


def of_changes(nodes, each, rate):
    def sample(scenario, contender, seconds):
        contender.build(nodes, each)
        return contender.sustained(rate, seconds)

    return sample


def scenario(name, title, rows, sample, seconds, contender=Mesh):
    return Scenario(f"catalog-{name}", title, "plain", (contender.name,), rows, sample, fresh=True, check=False, seconds=seconds, rounds=1)


def many(nodes, each):
    """Each agent keeps what it knows of all: a hundred that know ten thousand endpoints are a million."""
    return scenario(f"{nodes}-{each}", f"Catalog: {nodes} agents with {each:,} endpoints each", [
        Row("p99", "a change is routable on another node, p99", "ms", limit=250, peers=()), also("p50", "p50", "ms"), also("most", "the slowest", "ms"),
        Row("cold", f"start of an agent until it routes to {nodes * each:,} endpoints, the median of 7", "s", limit=1, peers=()), also("coldest", "the longest", "s"),
        also("resident", "resident for each agent", "MB"), also("bytes", "sent by each agent at rest", "B/s"), also("cpu", "CPU time of each agent at rest", "ms/s")],
        of_many(nodes, each), seconds=20)


SCENARIOS = [
    many(100, 2), many(100, 100), many(11, 910),
    scenario("changes", "Catalog: 200 changes a second at 10 agents with 100 endpoints each", [
        also("rate", "changes made", "1/s", "more"), Row("lag", "all nodes route to all after the last change", "ms", limit=1000, peers=()),
        also("late", "the latest change after it was due", "ms")],
        of_changes(10, 100, 200), seconds=30),
]
