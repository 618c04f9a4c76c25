"""Two hosts as network namespaces, cgroups, and processes in them. Everything made here is gone after `Lab.close`."""

import ctypes
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import tempfile
import time

import rules

HERE = os.path.dirname(os.path.abspath(__file__))
LIBC = ctypes.CDLL(None, use_errno=True)
CGROUPS = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
# What nft puts before a path to find the directory.
PREFIX = "unified/" if CGROUPS.endswith("unified") else ""


class Failure(Exception):
    pass


def run(*command, text=None, check=True, timeout=60):
    done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=timeout)
    if check and done.returncode:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def enter(path):
    with open(path) as file:
        if LIBC.setns(file.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")


def cpu(pid):
    """Seconds on a processor, all threads, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


class Person:
    """A process of its own in a namespace and a cgroup, in which functions are called by name. Their first argument is its memory."""

    def __init__(self, lab, host, cgroup=None, uid=None):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                near.close()
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
                lab.move(cgroup)
                enter(f"/run/netns/{lab.name(host)}")
                if uid:
                    os.setgroups([])
                    os.setgid(uid)
                    os.setuid(uid)
                memory = {}
                while True:
                    message = far.recv(4 << 20)
                    if not message:
                        break
                    function, arguments = pickle.loads(message)
                    try:
                        answer = (True, function(memory, *arguments))
                    except Exception as error:
                        answer = (False, f"{type(error).__name__}: {error}")
                    far.send(pickle.dumps(answer))
            finally:
                os._exit(0)
        far.close()
        near.settimeout(120)
        self.link = near
        lab.people.append(self)

    def __call__(self, function, *arguments):
        self.link.send(pickle.dumps((function, arguments)))
        good, answer = pickle.loads(self.link.recv(4 << 20))
        if not good:
            raise Failure(answer)
        return answer

    def attempt(self, function, *arguments):
        """The answer, or what went wrong as text."""
        try:
            return self(function, *arguments)
        except Failure as failure:
            return f"error: {failure}"

    def close(self):
        self.link.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


class Lab:
    """Host A (10.77.0.1) has the relay and the captured client, host B (10.77.0.2) is elsewhere. All of 10.78.0.0/16 is B, all of 10.79.0.0/16 is A."""

    def __init__(self):
        if os.geteuid():
            raise Failure("needs root")
        self.tag = str(os.getpid())
        self.directory = tempfile.mkdtemp(prefix="weft-capture-")
        self.program = f"{self.directory}/capture"
        self.cgroup = f"{CGROUPS}/weft-capture-{self.tag}"
        self.people, self.processes, self.relay_process = [], [], None
        # The only processor for processes that are started from now on.
        self.processor = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def name(self, host):
        return f"weftcap{host}{self.tag}"

    def _build(self):
        run("cc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", self.program, f"{HERE}/capture.c")
        for name in ("", "app", "other", "plain"):
            os.mkdir(f"{self.cgroup}/{name}")
        for host in "AB":
            run("ip", "netns", "add", self.name(host))
        ends = {host: f"wc{host}{self.tag}"[:15] for host in "AB"}
        run("ip", "link", "add", ends["A"], "netns", self.name("A"), "type", "veth", "peer", "name", ends["B"], "netns", self.name("B"))
        self.device = ends["A"]
        for host, own, served, theirs in (("A", 1, 79, 78), ("B", 2, 78, 79)):
            far = 3 - own
            for line in (
                "link set lo up",
                f"addr add 10.77.0.{own}/24 dev {ends[host]}",
                f"addr add fd77::{own}/64 dev {ends[host]} nodad",
                f"link set {ends[host]} up",
                f"route add local 10.{served}.0.0/16 dev lo",
                f"-6 route add local fd{served}::/64 dev lo",
                f"route add 10.{theirs}.0.0/16 via 10.77.0.{far}",
                f"-6 route add fd{theirs}::/64 via fd77::{far}",
            ):
                self.inside(host, "ip", *line.split())
            self.sysctl(host, "net.ipv4.ip_local_port_range", "32768 60999")
        for line in (
            "route add 240.240.0.0/16 dev lo src 10.77.0.1",
            "-6 route add fd77:6566:7400::/48 dev lo src fd77::1",
        ):
            self.inside("A", "ip", *line.split())
        for family in ("-4", "-6"):
            self.inside("A", "ip", family, "route", "add", "local", "default", "dev", "lo", "table", str(rules.TABLE))
            for number, value in enumerate((rules.SPOOF, rules.CAPTURED)):
                self.inside("A", "ip", family, "rule", "add", "pref", str(16001 + number), "fwmark", f"{value:#x}/{rules.MASK:#x}",
                            "lookup", str(rules.TABLE))
        self.settle()

    def settle(self):
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if "tentative" not in self.inside("A", "ip", "-6", "addr") and self.inside(
                    "A", "ping", "-c1", "-W1", "10.77.0.2", check=False).count(" 1 received"):
                return
            time.sleep(0.1)
        raise Failure("the two hosts do not reach each other")

    def cgroup_path(self, name):
        return f"{PREFIX}{os.path.basename(self.cgroup)}/{name}"

    def cgroup_id(self, name):
        return os.stat(f"{self.cgroup}/{name}").st_ino

    def move(self, cgroup):
        with open(f"{self.cgroup}/{cgroup or 'plain'}/cgroup.procs", "w") as file:
            file.write("0")

    def inside(self, host, *command, **options):
        return run("nsenter", f"--net=/run/netns/{self.name(host)}", *command, **options)

    def sysctl(self, host, name, value):
        self.inside(host, "sysctl", "-q", "-w", f"{name}={value}")

    def sysctls(self, host, **values):
        for name, value in values.items():
            self.sysctl(host, name.replace("__", "."), value)

    def load(self, ruleset, host="A"):
        self.inside(host, "nft", "-f", "-", text="flush ruleset\n" + ruleset)

    def hold(self, ruleset, host="A"):
        """The ruleset lives with the process that is returned: for tables with the owner flag."""
        self.inside(host, "nft", "flush", "ruleset")
        path = f"{self.directory}/held.nft"
        with open(path, "w") as file:
            file.write(ruleset)
        process = self.start(host, None, "nft", "-i", stdin=subprocess.PIPE)
        process.stdin.write(f'include "{path}"\n'.encode())
        process.stdin.flush()
        deadline = time.monotonic() + 5
        while "table inet weft" not in self.inside(host, "nft", "list", "tables").splitlines():
            if time.monotonic() > deadline:
                raise Failure("the owned table did not appear")
            time.sleep(0.05)
        return process

    def start(self, host, cgroup, *command, uid=None, **options):
        def prepare():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.move(cgroup)
            enter(f"/run/netns/{self.name(host)}")
            if self.processor is not None:
                os.sched_setaffinity(0, {self.processor})
        process = subprocess.Popen(command, preexec_fn=prepare, user=uid, **options)
        self.processes.append(process)
        return process

    def relay(self, mode, inbound=False, *options):
        """Starts the relay for a mode of `rules`; one that ran is ended."""
        self.stop(self.relay_process)
        kind = "tproxy" if mode.startswith("tproxy") else "sockopt" if mode.endswith("sockopt") else "conntrack"
        command = [self.program, "relay", kind, str(rules.INBOUND if inbound else rules.OUTBOUND), "--own", hex(rules.OWN)]
        if inbound and kind != "tproxy":
            command.append("--any")
        self.relay_log = f"{self.directory}/relay.log"
        with open(self.relay_log, "w") as log:
            self.relay_process = self.start("A", None, *command, *options, stdout=log)
        self.wait_for("A", rules.INBOUND if inbound else rules.OUTBOUND)
        return self.relay_process

    def seen(self):
        """What the relay with --log found, one list of words a connection."""
        with open(self.relay_log) as log:
            return [line.split() for line in log]

    def serve(self, host, what, port, cgroup=None):
        process = self.start(host, cgroup, self.program, "serve", what, str(port))
        self.wait_for(host, port)
        return process

    def wait_for(self, host, port):
        deadline = time.monotonic() + 5
        while not self.inside(host, "ss", "-Hltn", f"sport = :{port}"):
            if time.monotonic() > deadline:
                raise Failure(f"nobody listens at {port} of {host}")
            time.sleep(0.02)

    def client(self, host, cgroup, *words, timeout=60):
        process = self.start(host, cgroup, self.program, "client", *map(str, words), stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=timeout)
        self.processes.remove(process)
        return json.loads(out)

    def person(self, host, cgroup=None, uid=None):
        return Person(self, host, cgroup, uid)

    def stop(self, process):
        if process is None:
            return
        process.kill()
        process.wait()
        if process in self.processes:
            self.processes.remove(process)
        if process is self.relay_process:
            self.relay_process = None

    def reset(self):
        """Between two experiments: no processes, no rules, no followed connections."""
        for person in self.people:
            person.close()
        self.people.clear()
        for process in list(self.processes):
            self.stop(process)
        for host in "AB":
            self.inside(host, "nft", "flush", "ruleset")
        self.flush()

    def flush(self, host="A"):
        self.inside(host, "conntrack", "-F", check=False)

    def close(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for person in self.people:
            person.close()
        for process in list(self.processes):
            self.stop(process)
        for host in "AB":
            run("ip", "netns", "del", self.name(host), check=False)
        for name in ("app", "other", "plain", ""):
            for _ in range(50):
                try:
                    os.rmdir(f"{self.cgroup}/{name}")
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.1)
        run("rm", "-rf", self.directory)


# ---- what people do ----

def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def dial(memory, key, address, port, source=None, timeout=4):
    s = socket.socket(family(address), socket.SOCK_STREAM)
    s.settimeout(timeout)
    if source:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(source)
    s.connect((address, port))
    memory[key] = s
    return s.getsockname()[:2]


def send(memory, key, data):
    memory[key].sendall(data)


def receive(memory, key, timeout=4):
    memory[key].settimeout(timeout)
    return memory[key].recv(4096)


def shut(memory, key):
    memory[key].shutdown(socket.SHUT_WR)


def end(memory, key):
    memory.pop(key).close()


def ask(memory, address, port, timeout=4, source=None):
    """What a `serve name` server says to a new connection: its own address and port, then the peer's; or the error."""
    try:
        dial(memory, "ask", address, port, source, timeout)
        memory["ask"].sendall(b"who")
        answer = memory["ask"].recv(4096).decode().split()
        return answer or ["closed"]
    except OSError as error:
        return [type(error).__name__]
    finally:
        if "ask" in memory:
            memory.pop("ask").close()


def listen(memory, key, address, port, reuse=True):
    s = socket.socket(family(address), socket.SOCK_STREAM)
    if reuse:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen(64)
    memory[key] = s


def accept(memory, listener, key, timeout=4):
    memory[listener].settimeout(timeout)
    memory[key], peer = memory[listener].accept()
    return peer[:2]


def owner(memory, source, sport, destination, dport):
    """The cgroup of the socket with exactly these ends, from sock_diag; None when there is none."""
    if "diag" not in memory:
        memory["diag"] = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
    kind = family(source)
    pack = lambda address: socket.inet_pton(kind, address).ljust(16, b"\0")
    body = struct.pack("=BBBBI", kind, 6, 0, 0, 0xFFFFFFFF) + struct.pack("!HH", sport, dport) + pack(source) + pack(destination)
    body += struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    memory["diag"].send(struct.pack("=IHHII", 16 + len(body), 20, 1, 1, 0) + body)
    answer = memory["diag"].recv(8192)
    if struct.unpack_from("=H", answer, 4)[0] == 2 or answer[17] == 10:
        return None
    if struct.unpack_from("!HH", answer, 20) != (sport, dport):
        return None
    at, end_of = 16 + 72, struct.unpack_from("=I", answer)[0]
    while at + 4 <= end_of:
        length, number = struct.unpack_from("=HH", answer, at)
        if number == 21:
            return struct.unpack_from("=Q", answer, at + 4)[0]
        at += (length + 3) & ~3
    return None
