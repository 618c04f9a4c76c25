"""Where it all takes place: two hosts of network namespaces, `near` with the callers and `far` with the servers, on one bridge."""

import os
import signal

import certificates
from clients import LOAD
from hosts import Lab

# What ends the benchmark early.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Ports of the echo and the iperf3 server that every host runs for whoever relays to an address.
ECHO, BULK = 9100, 9200
# And those of the servers that are workloads of the mesh: workload, which is the service's name too → (host, port, program).
WORKLOADS = {
    "echo": ("far", 9101, "echo"), "bulk": ("far", 9201, "iperf"),
    "here": ("near", 9102, "echo"), "here-bulk": ("near", 9202, "iperf"),
}


def accounts(place):
    """The workloads of a host, each with the account of its identity."""
    return {name: name for name in [*(name for name, (where, _, _) in WORKLOADS.items() if where == place), *(["caller"] if place == "near" else [])]}


class Ground:
    def __init__(self, weftd, weft):
        # Whether the agents were made one mesh; they stay one when they are started again.
        self.meshed = False
        self.lab = None
        try:
            # Half of it, nobody would know what to take away.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            self.lab = Lab.create("bench")
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            self.build(weftd, weft)
        except BaseException:
            self.remove()
            raise

    def build(self, weftd, weft):
        self.certificates = f"{self.lab.root}/certificates"
        os.mkdir(self.certificates)
        certificates.make(self.certificates)
        self.near, self.far = (self.lab.add_host(name, accounts(name), weftd, weft) for name in ("near", "far"))
        for host in (self.near, self.far):
            self.serve(host, "other", "echo", ECHO)
            self.serve(host, "other", "iperf", BULK)
        for workload, (place, port, program) in WORKLOADS.items():
            host = self.lab.hosts[place]
            self.serve(host, workload, program, port)
            # To iperf3's server every connection is a test, and while it looks at one it has no time for another.
            host.declare(workload, workload, port, check=program != "iperf")

    @staticmethod
    def serve(host, workload, program, port):
        host.start(workload, *((LOAD, "echo", str(port)) if program == "echo" else ("iperf3", "-s", "-p", str(port))))

    def tune(self):
        """Makes room for many short connections, which all contenders use up alike: ports of closed ones, and what conntrack remembers of them.

        To be called when the contenders run: conntrack's settings are there only once something uses it."""
        for host in (self.near, self.far):
            host.inside("sysctl", "-qw", "net.ipv4.ip_local_port_range=20000 65535", "net.ipv4.tcp_tw_reuse=1")
            host.inside("sysctl", "-qew", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=2", "net.netfilter.nf_conntrack_tcp_timeout_close=2")

    def empty_logs(self):
        """Access logs of thousands of connections a second fill disks."""
        for host in (self.near, self.far):
            for entry in os.scandir(host.directory):
                if entry.name.endswith(".log") and entry.stat().st_size > 1 << 20:
                    os.truncate(entry.path, 0)

    def clear_rules(self):
        """Takes away what a contender may have left in the packet filter."""
        for host in (self.near, self.far):
            host.inside("nft", "flush", "ruleset")

    def remove(self):
        if self.lab:
            self.lab.remove()
