"""Hosts made of network namespaces: each has an interface on one bridge, IPv4 and IPv6, cgroups, a resolver file and one weftd.

The bridge lives in a namespace of its own, so the machine's own network is never touched. Everything that is made is named after the
laboratory's directory, which also records it: `Lab.remove` takes all of it away, from another process too.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

NETWORK_V4 = "10.96.0"
NETWORK_V6 = "fd96"
# No server has this address: the agent answers the captured programs' queries whatever server they ask.
NAMESERVER = f"{NETWORK_V4}.53"

# `on HOST WORKLOAD PROGRAM...`: runs a program as that workload of that host; `-` as the workload is none that is captured.
# (`ip netns exec` would mount a /sys without cgroups, hence nsenter.)
ON = """#!/bin/sh
# Usage: {root}/on HOST WORKLOAD PROGRAM [ARGUMENT...]      HOST: {hosts}      WORKLOAD: a cgroup's name, or - for none
set -e
host=$1; workload=$2; shift 2
[ "$workload" = - ] && workload=other
# The network first: a process of another namespace in a captured cgroup would make the agent refuse the cgroup.
exec nsenter --net=/run/netns/{prefix}-$host unshare --mount --propagation private sh -c '
    mount --bind {root}/resolv.conf /etc/resolv.conf; mount --bind {root}/nsswitch.conf /etc/nsswitch.conf
    procs=$1; shift; echo $$ > "$procs"; exec "$@"' sh {cgroups}/$host/$workload/cgroup.procs "$@"
"""


class Failure(Exception):
    """A step that did not hold."""


def run(*command, input=None, check=True, timeout=30):
    """Runs a program to its end and returns its standard output."""
    result = subprocess.run(command, input=input, capture_output=True, text=True, timeout=timeout)
    if check and result.returncode != 0:
        raise Failure(f"{' '.join(command)} ended with status {result.returncode}: {(result.stderr or result.stdout).strip()}")
    return result.stdout


def wait_until(what, condition, timeout=15.0, interval=0.05):
    """Waits until `condition()` is true; returns its value and the seconds that it took."""
    start = time.monotonic()
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value, time.monotonic() - start
        except Failure as error:
            last = error
        if time.monotonic() - start > timeout:
            raise Failure(f"{what}: not within {timeout:.0f} s{f' ({last})' if last else ''}")
        time.sleep(interval)


def cgroup_mount():
    with open("/proc/mounts") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    raise Failure("cgroup v2 is not mounted; Weft chooses what to capture by it")


class Lab:
    """All hosts, and what they are made of."""

    def __init__(self, root, prefix, cgroups, hosts=None):
        self.root, self.prefix, self.cgroups = root, prefix, cgroups
        self.hosts = hosts or {}

    @staticmethod
    def create(kind="demo"):
        root = tempfile.mkdtemp(prefix=f"weft-{kind}-")
        prefix = f"weft-{kind}-{os.getpid()}"
        lab = Lab(root, prefix, f"{cgroup_mount()}/{prefix}")
        lab.save()
        for name, text in (("resolv.conf", f"nameserver {NAMESERVER}\noptions timeout:2 attempts:2\n"), ("nsswitch.conf", "hosts: files dns\n")):
            with open(f"{root}/{name}", "w") as file:
                file.write(text)
        os.makedirs(lab.cgroups)
        run("ip", "netns", "add", f"{prefix}-net")
        lab.switch("ip", "link", "add", "bridge", "type", "bridge")
        # Without IPv6 of its own the bridge adds no packets; the multicast snooping of a bridge holds up the first neighbour solicitations.
        lab.switch("ip", "link", "set", "bridge", "type", "bridge", "mcast_snooping", "0")
        lab.switch("ip", "link", "set", "bridge", "up")
        return lab

    @staticmethod
    def load(root):
        try:
            with open(f"{root}/lab.json") as file:
                record = json.load(file)
        except (OSError, ValueError) as error:
            raise Failure(f"{root} is no directory of a demo: {error}")
        return Lab(root, record["prefix"], record["cgroups"])

    def save(self):
        with open(f"{self.root}/lab.json", "w") as file:
            json.dump({"prefix": self.prefix, "cgroups": self.cgroups}, file)

    def switch(self, *command, **options):
        """Runs a program in the namespace of the bridge."""
        return run("nsenter", f"--net=/run/netns/{self.prefix}-net", *command, **options)

    def add_host(self, name, workloads, weftd, weft, settings=""):
        """`workloads`: a cgroup's name → the account of its identity. `settings`: more of weft.yaml, as text."""
        number = len(self.hosts) + 1
        host = Host(self, name, number, workloads, weftd, weft, settings)
        self.hosts[name] = host
        with open(f"{self.root}/on", "w") as file:
            file.write(ON.format(root=self.root, cgroups=self.cgroups, prefix=self.prefix, hosts=" ".join(self.hosts)))
        os.chmod(f"{self.root}/on", 0o755)
        return host

    def capture(self, where, interface, path):
        """Starts tcpdump in the namespace `where`; returns the process once it listens."""
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.prefix}-{where}", "tcpdump", "-i", interface, "-w", path, "-U", "-s", "0", "-n", "--immediate-mode"]
            + (["-Z", "root"] if os.geteuid() == 0 else []),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if "listening on" in line:
                return process
        raise Failure(f"tcpdump does not listen on {interface}")

    def remove(self):
        """Ends every process of the hosts and takes away whatever was made. Safe to call at any moment, and twice."""
        kill_cgroup(self.cgroups)
        for name in netns_names():
            if name.startswith(f"{self.prefix}-"):
                subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.root, ignore_errors=True)

    def leftovers(self):
        """What `remove` did not take away, for people to read; empty when all is gone."""
        found = [f"namespace {name}" for name in netns_names() if name.startswith(f"{self.prefix}-")]
        found += [path for path in (self.cgroups, self.root) if os.path.exists(path)]
        return found


class Host:
    """One host, with `weftd` as its agent."""

    def __init__(self, lab, name, number, workloads, weftd, weft, settings):
        self.lab, self.name, self.number = lab, name, number
        self.weftd, self.weft_program = weftd, weft
        self.address, self.address_v6 = f"{NETWORK_V4}.{number}", f"{NETWORK_V6}::{number}"
        self.directory = f"{lab.root}/{name}"
        self.socket = f"{self.directory}/run/weft.sock"
        self.agent = None
        self.programs = []
        for path in (f"{self.directory}/services.d", f"{self.directory}/run"):
            os.makedirs(path)
        for workload in list(workloads) + ["weftd", "other"]:
            os.makedirs(f"{lab.cgroups}/{name}/{workload}")
        self.configure(workloads, settings)
        self.connect()

    def configure(self, workloads, settings):
        lines = [
            f"node:\n  name: {self.name}\n  address: {self.address}\n  addressV6: {self.address_v6}",
            f"state: {self.directory}/state\nruntime: {self.directory}/run\nservices: {self.directory}/services.d",
            f"accessLog:\n  path: {self.directory}/access.log\n  format: json",
            # memberlist's timers for hosts that are close together: a dead one is noticed in about three seconds.
            "gossip:\n  timers: local",
            "workloads:",
        ]
        for workload, account in workloads.items():
            lines.append(f"  - name: {workload}\n    account: {account}\n    cgroup: /{self.lab.prefix}/{self.name}/{workload}")
        with open(f"{self.directory}/weft.yaml", "w") as file:
            file.write("\n".join(lines) + f"\n{settings}")

    def declare(self, service, workload, target_port, version="", check=True):
        """A service instance, as an operator writes it into services.d; `check`: the agent connects to it every second to see that it lives."""
        with open(f"{self.directory}/services.d/{workload}.yaml", "w") as file:
            file.write(
                f"service: {service}\nport: 9080\ntargetPort: {target_port}\nworkload: {workload}\n"
                + (f"version: {version}\n" if version else "") + f"check:\n  {'interval: 1s' if check else 'tcp: false'}\n")

    def connect(self):
        namespace, port = f"{self.lab.prefix}-{self.name}", f"port-{self.name}"
        run("ip", "netns", "add", namespace)
        self.lab.switch("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        self.lab.switch("ip", "link", "set", port, "master", "bridge", "up")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "addr", "add", f"{self.address}/24", "dev", "eth0")
        self.inside("ip", "-6", "addr", "add", f"{self.address_v6}/64", "dev", "eth0", "nodad")
        self.inside("ip", "link", "set", "eth0", "up")
        # Nothing answers there: a route is needed for addresses to be reachable at all, as on every host.
        self.inside("ip", "route", "add", "default", "via", f"{NETWORK_V4}.254")

    def inside(self, *command, **options):
        return run("nsenter", f"--net=/run/netns/{self.lab.prefix}-{self.name}", *command, **options)

    def on(self, workload, *command):
        return [f"{self.lab.root}/on", self.name, workload, *command]

    def run(self, workload, *command, **options):
        return run(*self.on(workload, *command), **options)

    def start(self, workload, *command):
        log = open(f"{self.directory}/{workload}.log", "ab")
        process = subprocess.Popen(self.on(workload, *command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self.programs.append(process)
        return process

    def start_agent(self):
        self.agent = self.start("weftd", self.weftd, "--config", f"{self.directory}/weft.yaml")
        wait_until(f"weftd on {self.name} answers", lambda: self.agent_answers(), timeout=20)

    def agent_answers(self):
        if self.agent.poll() is not None:
            raise SystemExit(f"weftd on {self.name} ended with status {self.agent.returncode}:\n{self.log_tail('weftd')}")
        return os.path.exists(self.socket) and self.weft("status")

    def log_tail(self, workload, lines=15):
        try:
            with open(f"{self.directory}/{workload}.log") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return ""

    def weft(self, *arguments, input=None):
        """Asks the agent, and returns the answer's JSON."""
        return json.loads(run(self.weft_program, *arguments, "--socket", self.socket, "--output", "json", input=input))

    def weft_text(self, *arguments, input=None):
        return run(self.weft_program, *arguments, "--socket", self.socket, input=input)

    def power_off(self):
        """As when its plug is pulled: off the network, and nothing gets a chance to say goodbye. Returns when (monotonic) it was off."""
        self.lab.switch("ip", "link", "set", f"port-{self.name}", "down")
        off = time.monotonic()
        kill_cgroup(f"{self.lab.cgroups}/{self.name}", remove=False)
        for process in self.programs:
            process.wait()
        return off

    def stop_agent(self):
        self.agent.send_signal(signal.SIGTERM)
        return self.agent.wait(timeout=45)


def netns_names():
    try:
        return os.listdir("/run/netns")
    except FileNotFoundError:
        return []


def kill_cgroup(path, remove=True):
    """Kills what runs in a cgroup and below it, and removes it."""
    if not os.path.isdir(path):
        return
    for _ in range(200):
        alive = False
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                with open(f"{directory}/cgroup.procs") as file:
                    members = [int(line) for line in file if int(line) > 0]
            except FileNotFoundError:
                continue
            for member in members:
                alive = True
                try:
                    os.kill(member, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if remove and not members:
                try:
                    os.rmdir(directory)
                except OSError:
                    alive = True
        if not alive:
            return
        time.sleep(0.02)
