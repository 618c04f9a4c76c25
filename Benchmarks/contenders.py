"""What is compared. A contender relays two services, echo and bulk, in up to three ways:

plain       one proxy on the near host, from a port of its own to the near host's server
redirect    the same, but the callers name another port and the kernel redirects them: what Weft's capture does
pair        two proxies, mutual TLS between them: from a port of the near host to the far host's server
"""

import os
import resource
import subprocess

import ground
from hosts import Failure

SERVICES = ("echo", "bulk")


class Contender:
    name = ""

    def __init__(self, place):
        self.place, self.near, self.far = place, place.near, place.far

    def start(self, way):
        """Makes it ready for a way; `stop` ends all of it."""

    def stop(self):
        pass

    def last_words(self):
        """The ends of its programs' logs, for when it has failed."""
        return ""

    def cgroups(self, way):
        """Of its proxies, by host: near, and for a pair far."""
        return {}

    def address(self, service):
        """Where callers find a service, `way-echo` or `way-bulk`: an address and a port."""
        raise NotImplementedError

    def caller(self, service):
        """The cgroup that the callers are in."""
        return "other"

    def capacity(self, way):
        """Flows that it can have at once: two descriptors each, within the limit of a process that cannot be raised. Some are for other things."""
        return (descriptors() - 600) // 2


class Direct(Contender):
    """No proxy at all: what the load programs, the servers and the kernel do by themselves."""

    name = "direct"

    def capacity(self, way):
        return descriptors() - 600

    def address(self, service):
        way, _, service = service.partition("-")
        return self.far.address if way == "pair" else "127.0.0.1", ground.ECHO if service == "echo" else ground.BULK


class Peer(Contender):
    """A proxy that is started with a configuration file, in a process of its own for each way and host."""

    # The first of its ten ports, and the end of its configuration file's name.
    ports = 0
    suffix = ""
    PLAIN, PAIR, TLS, REDIRECT = 0, 2, 4, 6

    def __init__(self, place):
        super().__init__(place)
        self.running = []

    def command(self, path):
        raise NotImplementedError

    def configuration(self, role, log):
        """The text for a role: plain, near or far. The access log goes to the file `log`, where the standard output goes already."""
        raise NotImplementedError

    def port(self, use, service):
        return self.ports + use + SERVICES.index(service)

    def upstream(self, service):
        return ground.ECHO if service == "echo" else ground.BULK

    def start(self, way):
        if way == "pair":
            self.launch(self.far, "far")
            self.launch(self.near, "near")
        else:
            self.launch(self.near, "plain")
        if way == "redirect":
            self.redirect()

    def launch(self, host, role):
        name = f"{self.name}-{role}"
        path = f"{host.directory}/{name}.{self.suffix}"
        with open(path, "w") as file:
            file.write(self.configuration(role, f"{host.directory}/{name}.log"))
        os.makedirs(f"{self.place.lab.cgroups}/{host.name}/{name}", exist_ok=True)
        self.running.append(host.start(name, *self.command(path)))

    def redirect(self):
        rules = "".join(f" tcp dport {self.port(self.REDIRECT, service)} redirect to :{self.port(self.PLAIN, service)};" for service in SERVICES)
        self.near.inside("nft", f"table ip {self.table} {{ chain output {{ type nat hook output priority -100;{rules} }}; }}")

    @property
    def table(self):
        return self.name.replace("-", "_")

    def stop(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running = []
        self.near.inside("nft", "delete", "table", "ip", self.table, check=False)

    def last_words(self):
        return "".join(host.log_tail(f"{self.name}-{role}", 5) for host in (self.near, self.far) for role in ("plain", "near", "far"))

    def cgroups(self, way):
        roles = {"near": "near", "far": "far"} if way == "pair" else {"near": "plain"}
        return {host: f"{self.place.lab.cgroups}/{host}/{self.name}-{role}" for host, role in roles.items()}

    def address(self, service):
        way, _, service = service.partition("-")
        return "127.0.0.1", self.port({"plain": self.PLAIN, "redirect": self.REDIRECT, "pair": self.PAIR}[way], service)


def descriptors():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def version_line(output):
    for line in output.splitlines():
        if line.strip():
            return line.strip()
    raise Failure("a program says nothing about its version")
