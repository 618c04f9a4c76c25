"""Weft: one agent on each host, in one mesh."""

import os
import subprocess
import tempfile

import ground
from clients import ROOT
from contenders import SERVICES, Contender, descriptors, version_line
from hosts import run, wait_until

WEFTD = os.environ.get("WEFTD") or f"{ROOT}/.build/release/weftd"
WEFT = os.environ.get("WEFT") or f"{ROOT}/.build/release/weft"
LISTENERS = {"plain-echo": (9011, f"127.0.0.1:{ground.ECHO}"), "plain-bulk": (9012, f"127.0.0.1:{ground.BULK}"),
             "pair-echo": (9013, "echo.default:9080"), "pair-bulk": (9014, "bulk.default:9080")}
COMMON = "workers: 2\nlimits:\n  streamsPerTunnel: 16384\n"
LISTENING = "listeners:\n" + "".join(f"  - address: 127.0.0.1:{port}\n    to: {to}\n    workload: caller\n" for port, to in LISTENERS.values())
NO_CAPTURE = "capture:\n  enabled: false\n"


def can_do_without_capture():
    """Whether the agent can leave the kernel's packet filter alone."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(NO_CAPTURE)
        file.flush()
        return subprocess.run([WEFTD, "--check", "--config", file.name], capture_output=True, check=False).returncode == 0


class Weft(Contender):
    """Bare listeners: everything but capture is at work."""

    name = "weft"
    captures = False
    settings = (
        "Two workers; `streamsPerTunnel: 16384`, so that however many flows there are make one tunnel for each worker. Everything else as by default: TLS 1.3 with whole "
        "handshakes, gossip, health checks, counters, access log (JSON, to a file).")

    @staticmethod
    def version():
        return version_line(run(WEFTD, "--version"))

    def start(self, way):
        for host in (self.near, self.far):
            if host.agent is None or host.agent.poll() is not None:
                more = COMMON + (LISTENING if host is self.near else "") + (NO_CAPTURE if not self.captures and can_do_without_capture() else "")
                host.configure(ground.accounts(host.name), more)
                host.start_agent()
        if not self.place.meshed:
            self.near.weft("init", "bench.weft")
            self.far.weft("join", "-", input=self.near.weft("token", "create", "--node", "far", "--allow", "ns/default/sa/*")["token"])
            self.place.meshed = True
        wait_until("the mesh's services are usable", self.usable, timeout=60)

    def usable(self):
        services = self.near.weft("services")["services"]
        return len(services) == len(ground.WORKLOADS) and all(service["usable"] for service in services)

    def stop(self):
        for host in (self.near, self.far):
            if host.agent is not None and host.agent.poll() is None:
                try:
                    host.stop_agent()
                except subprocess.TimeoutExpired:
                    host.agent.kill()
                    host.agent.wait()

    def last_words(self):
        return self.near.log_tail("weftd") + self.far.log_tail("weftd")

    def cgroups(self, way):
        return {host.name: f"{self.place.lab.cgroups}/{host.name}/weftd" for host in ((self.near, self.far) if way == "pair" else (self.near,))}

    def address(self, service):
        return "127.0.0.1", LISTENERS[service.replace("redirect-", "plain-")][0]

    def capacity(self, way):
        # In a tunnel a flow has a descriptor on one side only.
        return descriptors() - 600 if way == "pair" else super().capacity(way)


class Captured(Weft):
    """The same agents, and callers whose connections are captured: of this host's service (`redirect`) or the other host's (`pair`)."""

    name = "captured"
    captures = True

    def address(self, service):
        way, _, which = service.partition("-")
        name = which if way == "pair" else ("here", "here-bulk")[SERVICES.index(which)]
        return self.near.run("caller", "getent", "ahostsv4", name).split()[0], 9080

    def caller(self, service):
        return "caller"
