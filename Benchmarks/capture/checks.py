"""The experiments: whether capture stays right where it is hard. Each prints a line for every mode."""

import ipaddress
import os
import socket
import struct
import time

import rules
from lab import accept, ask, cpu, dial, end, listen, owner, receive, send, shut

ALL = {}
A, B = "10.77.0.1", "10.77.0.2"
HERE, THERE = "10.79.0.5", "10.78.1.0"
HERE6, THERE6 = "fd79::5", "fd78::1000"
TPROXIES = ("tproxy", "tproxy-cgroup", "tproxy-notrack")
SPOOF = ("--spoof", hex(rules.SPOOF))
ENDPOINTS = [(address, port) for address in (HERE, HERE6) for port in (8080, *range(8090, 8094))]


def experiment(function):
    ALL[function.__name__] = function
    return function


def verdict(mode, good, text):
    print(f"  {'pass' if good else 'FAIL'}  {mode:30} {text}", flush=True)


def capture(lab, mode, *options, both=False, **more):
    """Outbound capture of cgroup `app` (and `other`), with a logging relay."""
    lab.load(rules.outbound(mode, [lab.cgroup_path(name) for name in (("app", "other") if both else ("app",))], **more))
    if mode != "direct":
        lab.relay(mode, False, "--log", *options)
    lab.flush()


def receive_in(lab, mode, *options, **more):
    """Inbound capture of `ENDPOINTS`."""
    lab.load(rules.inbound(mode, ENDPOINTS, **more))
    lab.relay(mode, True, "--log", *(options or SPOOF))
    lab.flush()


def shifted(base, number):
    return str(ipaddress.ip_address(base) + number)


# ---- source ports ----

def open_many(memory, plan, message=b"who"):
    """Opens flows (source port, destination, port) and keeps them. What each server said, or the error."""
    answers = []
    for sport, address, port in plan:
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(3)
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if sport:
                s.bind(("", sport))
            s.connect((address, port))
            s.sendall(message)
            answers.append(s.recv(4096).decode().split() or ["closed"])
        except OSError as error:
            answers.append([type(error).__name__])
        memory.setdefault("many", []).append(s)
        if len([a for a in answers if len(a) == 1]) > 15:
            break
    return answers


def repeat(memory):
    """How many of the flows are answered once more."""
    good = dead = 0
    for s in memory["many"]:
        if dead > 30:
            break
        try:
            s.settimeout(1)
            s.sendall(b"again")
            good += bool(s.recv(4096))
        except OSError:
            dead += 1
    return good


def owners(memory, tuples):
    return [owner(memory, *t) for t in tuples]


@experiment
def ports(lab):
    """5,000 live flows of 2 clients to 800 destinations, which use the same 7 source ports; destination and caller of each"""
    for v6, modes in ((False, ("redirect", "redirect-sockopt", *TPROXIES)), (True, ("redirect", "tproxy"))):
        base = THERE6 if v6 else THERE
        for mode in modes:
            lab.reset()
            capture(lab, mode, both=True)
            lab.serve("B", "name", 8080)
            plans = [[(20000 + i // 400, shifted(base, i % 400 + 400 * k), 8080) for i in range(2500)] for k in (0, 1)]
            people = [lab.person("A", name) for name in ("app", "other")]
            answers = [person(open_many, plan) for person, plan in zip(people, plans)]
            again = sum(person(repeat) for person in people)
            right = sum(len(a) > 1 and a[0] == p[1] for answer, plan in zip(answers, plans) for a, p in zip(answer, plan))
            log = [line for line in lab.seen() if len(line) == 6]
            rewritten = sum(not 20000 <= int(line[1]) <= 20006 for line in log)
            # Whose flow it is, asked with the tuple that the relay has.
            expected = {(p[0], p[1]): lab.cgroup_id(name) for name, plan in zip(("app", "other"), plans) for p in plan}
            wanted = [(line[2], int(line[3]), line[4], int(line[5])) for line in log]
            found = []
            for start in range(0, len(wanted), 1000):
                found += people[0](owners, wanted[start:start + 1000])
            known = sum(f is not None and expected.get((t[1], t[2])) == f for t, f in zip(wanted, found))
            wrong = sum(f is not None and expected.get((t[1], t[2])) != f for t, f in zip(wanted, found))
            verdict(f"{mode}{' IPv6' if v6 else ''}", right == again == known == 5000,
                    f"right destination {right}, alive later {again}, caller found {known} (another's: {wrong}); source port rewritten {rewritten}")


@experiment
def lowports(lab):
    """600 live flows from one source port below 1024 to 600 destinations"""
    for mode in ("redirect", "tproxy"):
        lab.reset()
        capture(lab, mode)
        lab.serve("B", "name", 8080)
        answers = lab.person("A", "app")(open_many, [(700, shifted(THERE, i), 8080) for i in range(600)])
        right = sum(len(a) > 1 for a in answers)
        verdict(mode, right == 600, f"{right} of 600 opened")


@experiment
def churn(lab):
    """128,000 connections of one address to 800 destinations one after the other, inside conntrack's TIME_WAIT of 120 s"""
    lab.processor = max(os.sched_getaffinity(0))
    for mode, more in (("redirect", {}), ("redirect", {"keep": 600}), ("tproxy", {})):
        lab.reset()
        lab.load(rules.outbound(mode, [lab.cgroup_path("app")], **more))
        relay = lab.relay(mode)
        server = lab.serve("B", "echo", 8080)
        lab.flush()
        started, costs, failures = time.monotonic(), [], 0
        for _ in range(8):
            before = cpu(relay.pid) + cpu(server.pid)
            report = lab.client("A", "app", "connect", 16000, THERE, 800, 8080, timeout=120)
            costs.append((cpu(relay.pid) + cpu(server.pid) - before + report["cpu"]) / report["units"] * 1e6)
            failures += report["failures"]
        entries = lab.inside("A", "cat", "/proc/sys/net/netfilter/nf_conntrack_count").strip()
        verdict(mode + (" + ct timeout" if more else ""), failures == 0, f"{failures} failed in {time.monotonic() - started:.0f} s; µs of CPU per connection: "
                f"{', '.join(f'{c:.0f}' for c in costs)} (each 16,000); {entries} conntrack entries")
    lab.processor = None


# ---- conntrack ----

SHORT = {f"net.netfilter.nf_conntrack_tcp_timeout_{name}": 3 for name in (
    "established", "fin_wait", "close_wait", "last_ack", "time_wait", "unacknowledged", "max_retrans")}


@experiment
def timeouts(lab):
    """Quiet for longer than conntrack remembers (timeouts of 3 s, quiet for 5 s): client speaks, server speaks, server speaks after the client's half-close"""
    saved = {name: lab.inside("A", "sysctl", "-n", name).strip() for name in SHORT}
    alive = ("--keepalive", "1")
    cases = [("outbound", mode, {}, ()) for mode in ("redirect", *TPROXIES)]
    cases += [("outbound", mode, {"keep": 600}, ()) for mode in ("redirect", "tproxy")]
    cases += [("outbound", mode, {}, alive) for mode in ("redirect", "tproxy")]
    for mode in ("redirect", "tproxy"):
        cases += [("inbound", mode, {}, SPOOF), ("inbound", mode, {"keep": 600}, SPOOF), ("inbound", mode, {}, SPOOF + alive)]
    cases += [("inbound", "tproxy", {}, ("--own", hex(rules.OWN)))]
    try:
        lab.sysctls("A", **SHORT)
        for direction, mode, more, options in cases:
            lab.reset()
            out = direction == "outbound"
            (capture if out else receive_in)(lab, mode, *options, **more)
            server, client = lab.person("B" if out else "A"), lab.person("A" if out else "B", "app" if out else "plain")
            server(listen, "listener", "0.0.0.0", 8080)
            address = THERE if out else HERE
            for key in ("client", "server", "half"):
                client(dial, key, address, 8080)
                server(accept, "listener", key)
                client(send, key, b"question")
                server(receive, key)
                if key == "half":
                    client(shut, key)
                    server(receive, key)
            time.sleep(5)
            client.attempt(send, "client", b"later")
            server.attempt(send, "server", b"later")
            server.attempt(send, "half", b"later")
            got = [server.attempt(receive, "client"), client.attempt(receive, "server"), client.attempt(receive, "half")]
            name = f"{direction} {mode}" + (" + ct timeout" if more else " + keepalive" if "--keepalive" in options else "")
            if not out and SPOOF[0] not in options:
                name += ", own address"
            verdict(name, all(g == b"later" for g in got), ", ".join(
                f"{what}: {'ok' if g == b'later' else 'lost' if g == b'' else str(g).replace('error: ', '')[:26]}"
                for what, g in zip(("client speaks", "server speaks", "half-closed"), got)))
    finally:
        lab.sysctls("A", **saved)


@experiment
def defaults(lab):
    """As `timeouts`, but the kernel's own timeouts (close_wait 60 s): the client half-closes, the server answers after 70 s"""
    for mode in ("redirect", "tproxy"):
        lab.reset()
        capture(lab, mode)
        server, client = lab.person("B"), lab.person("A", "app")
        server(listen, "listener", "0.0.0.0", 8080)
        client(dial, "half", THERE, 8080)
        server(accept, "listener", "half")
        client(shut, "half")
        server(receive, "half")
        time.sleep(70)
        server.attempt(send, "half", b"later")
        got = client.attempt(receive, "half")
        verdict(f"outbound {mode}", got == b"later", "answered" if got == b"later" else str(got))


def fill(memory):
    """Fills the namespace's table with entries that the kernel does not drop early. The count and the limit."""
    def number(name):
        with open(f"/proc/sys/net/netfilter/nf_conntrack_{name}") as file:
            return int(file.read())

    def attribute(kind, data):
        return struct.pack("=HH", 4 + len(data), kind) + data.ljust((len(data) + 3) & ~3, b"\0")

    def nest(kind, *parts):
        return attribute(kind | 0x8000, b"".join(parts))

    def entry(i):
        near, far, sport = struct.pack("!I", 0xC6120000 + i // 60000), b"\xc6\x13\0\1", struct.pack("!H", 1024 + i % 60000)
        one = nest(1, attribute(1, near), attribute(2, far)), nest(2, attribute(1, b"\6"), attribute(2, sport), attribute(3, b"\0\x50"))
        two = nest(1, attribute(1, far), attribute(2, near)), nest(2, attribute(1, b"\6"), attribute(2, b"\0\x50"), attribute(3, sport))
        body = b"\2\0\0\0" + nest(1, *one) + nest(2, *two) + attribute(7, struct.pack("!I", 120)) + attribute(3, struct.pack("!I", 0x0E))
        body += nest(4, nest(1, attribute(1, b"\3")))
        return struct.pack("=IHHII", 16 + len(body), 0x100, 0x601, 0, 0) + body
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    limit, i = number("max"), 0
    while number("count") < limit and i < limit + 20000:
        s.send(b"".join(entry(n) for n in range(i, i + 200)))
        i += 200
        try:
            while True:
                s.recv(65536, socket.MSG_DONTWAIT)
        except OSError:
            pass
    return number("count"), limit


@experiment
def full(lab):
    """The connection table is full (filled up to the limit in this namespace; the limit belongs to the whole machine and stays as it is)"""
    for direction, modes in (("outbound", ("direct", "redirect", *TPROXIES, "tproxy-untracked")),
                             ("inbound", ("redirect", "tproxy", "tproxy-notrack"))):
        for mode in modes:
            lab.reset()
            out = direction == "outbound"
            (capture if out else receive_in)(lab, mode)
            lab.serve("B" if out else "A", "name", 8080)
            person, address = lab.person("A" if out else "B", "app" if out else "plain"), THERE if out else HERE
            person(dial, "old", address, 8080)
            person(send, "old", b"who")
            person(receive, "old")
            count, limit = lab.person("A")(fill)
            person(send, "old", b"who")
            old = isinstance(person.attempt(receive, "old"), bytes)
            answers = [person(ask, address, 8080, 1.5) for _ in range(3)]
            good = sum(len(a) > 1 for a in answers)
            verdict(f"{direction} {mode}", good == 3, f"{count} of {limit} entries; live flow {'goes on' if old else 'is stuck'}; "
                    f"{good} of 3 new connections{'' if good else ': ' + answers[0][0]}")
            lab.flush()


# ---- life and death of the proxy ----

def outcome(person, key):
    """What a client sees that speaks on a connection."""
    error = person.attempt(send, key, b"who")
    answer = person.attempt(receive, key, 3)
    if isinstance(answer, bytes):
        return "goes on" if answer else "end of file"
    text = f"{error} {answer}"
    return "reset" if "Reset" in text or "Pipe" in text else "hangs"


@experiment
def death(lab):
    """The agent is killed: table with the owner flag, then tables that outlive it; who gets what was captured"""
    for direction, modes in (("outbound", ("redirect", *TPROXIES)), ("inbound", ("redirect", "tproxy"))):
        for mode in modes:
            out = direction == "outbound"
            address = THERE if out else HERE
            for first in ("table", "sockets"):
                lab.reset()
                holder = lab.hold(rules.outbound(mode, [lab.cgroup_path("app")], owner=True) if out else rules.inbound(mode, ENDPOINTS, owner=True))
                relay = lab.relay(mode, not out)
                lab.serve("B" if out else "A", "name", 8080)
                person = lab.person("A" if out else "B", "app" if out else "plain")
                for key in ("speaks", "listens"):
                    person(dial, key, address, 8080)
                    person(send, key, b"who")
                    person(receive, key)
                for process in (holder, relay) if first == "table" else (relay, holder):
                    lab.stop(process)
                heard = person.attempt(receive, "listens", 3)
                heard = "end of file" if heard == b"" else "reset" if "Reset" in str(heard) else "nothing in 3 s"
                live = outcome(person, "speaks")
                new = person(ask, address, 8080)
                verdict(f"{direction} {mode}, {first} first", live in ("reset", "end of file") and heard != "nothing in 3 s" and new[0] == address,
                        f"live flow: {live}, one that only listens: {heard}; new flow: {'straight' if new[0] == address else new}")
    for direction, mode, more in (("outbound", "redirect", {}), ("outbound", "tproxy", {"refuse": False}), ("outbound", "tproxy", {}),
                                  ("inbound", "redirect", {}), ("inbound", "tproxy", {})):
        lab.reset()
        out = direction == "outbound"
        (capture if out else receive_in)(lab, mode, **more)
        lab.stop(lab.relay_process)
        person, address = lab.person("A" if out else "B", "app" if out else "plain"), THERE if out else HERE
        if out:
            lab.serve("B", "name", 8080)
        lone = person(ask, address, 8080, 1.5)
        impostor = lab.person("A", "plain", uid=65534)
        impostor(listen, "trap", "127.0.0.1" if out else "0.0.0.0", rules.OUTBOUND if out else rules.INBOUND)
        person.attempt(dial, "trapped", address, 8080, None, 1.5)
        trapped = not isinstance(impostor.attempt(accept, "trap", "victim", 1), str)
        strayed = False
        if out:
            impostor(listen, "same port", "0.0.0.0", 8080)
            person.attempt(dial, "stray", address, 8080, None, 1.5)
            strayed = not isinstance(impostor.attempt(accept, "same port", "victim2", 1), str)
        name = f"{direction} {mode}, table stays" + (" + drop" if out and mode == "tproxy" and not more else "")
        verdict(name, not trapped and not strayed,
                f"new flow: {lone[0]}; any user's listener at the relay's port gets it: {'YES' if trapped else 'no'}"
                + (f"; a local one at the destination's port: {'YES' if strayed else 'no'}" if out else ""))


@experiment
def drain(lab):
    """The capture rules go while the relay lives on, to serve what it has"""
    for direction, modes in (("outbound", ("redirect", *TPROXIES)), ("inbound", ("redirect", "tproxy"))):
        for mode in modes:
            lab.reset()
            out = direction == "outbound"
            (capture if out else receive_in)(lab, mode, *(() if out else ("--own", hex(rules.OWN))))
            lab.serve("B" if out else "A", "name", 8080)
            person = lab.person("A" if out else "B", "app" if out else "plain")
            person(dial, "live", THERE if out else HERE, 8080)
            person(send, "live", b"who")
            person(receive, "live")
            lab.inside("A", "nft", "delete", "table", "inet", "weft")
            live = outcome(person, "live")
            verdict(f"{direction} {mode}", live == "goes on", f"live flow: {live}")


@experiment
def existing(lab):
    """Connections that were there before the capture rules"""
    for direction, modes in (("outbound", ("redirect", *TPROXIES)), ("inbound", ("redirect", "tproxy", "tproxy-opening"))):
        for mode in modes:
            lab.reset()
            out = direction == "outbound"
            lab.serve("B" if out else "A", "name", 8080)
            person = lab.person("A" if out else "B", "app" if out else "plain")
            person(dial, "live", THERE if out else HERE, 8080)
            (capture if out else receive_in)(lab, mode)
            live = outcome(person, "live")
            verdict(f"{direction} {mode}", live == "goes on", f"live flow: {live}")


@experiment
def relayport(lab):
    """Connections made to the relay's own port: does it pass them on, does it call itself"""
    for inbound in (False, True):
        for mode in ("redirect", "tproxy"):
            lab.reset()
            (receive_in if inbound else capture)(lab, mode)
            port = rules.INBOUND if inbound else rules.OUTBOUND
            lab.serve("A", "name", 8080)
            words = []
            for host, cgroup, address in (("A", "app", "127.0.0.1"), ("A", "plain", A), ("B", "plain", A)):
                words.append(f"from {host} {cgroup} to {address}: {lab.person(host, cgroup)(ask, address, port, 2)[0]}")
            calls = sum(len(line) == 6 for line in lab.seen())
            verdict(f"{'inbound' if inbound else 'outbound'} {mode}", calls == 0, "; ".join(words) + f"; relayed {calls}")


# ---- addresses and routes ----

@experiment
def local(lab):
    """Captured calls to loopback and to the node's own addresses"""
    for mode in ("redirect", *TPROXIES):
        lab.reset()
        capture(lab, mode, loopback=True)
        lab.serve("A", "name", 8080)
        person, words, good = lab.person("A", "app"), [], True
        for address in ("127.0.0.1", "127.8.8.8", A, HERE, "::1", "fd77::1"):
            answer = person(ask, address, 8080)
            line = (lab.seen() or [["nothing"]])[-1]
            through = len(line) == 6 and line[4] == address
            good = good and answer[0] == address and through
            words.append(f"{address} {'ok' if answer[0] == address and through else answer[0]}")
        verdict(mode, good, ", ".join(words))


@experiment
def rpfilter(lab):
    """Reverse path filter on every interface and lo, both directions; IPv4"""
    names = [f"net.ipv4.conf.{name}.rp_filter" for name in ("all", "default", "lo", lab.device)]

    def filtered():
        lines = lab.inside("A", "cat", "/proc/net/netstat").splitlines()
        ext = [line.split() for line in lines if line.startswith("TcpExt:")]
        return int(dict(zip(*ext))["IPReversePathFilter"])
    try:
        for value in (0, 1, 2):
            for direction, mode in (("outbound", "redirect"), ("outbound", "tproxy"), ("inbound", "redirect"), ("inbound", "tproxy")):
                lab.reset()
                lab.sysctls("A", **{name: value for name in names})
                before = filtered()
                if direction == "outbound":
                    capture(lab, mode, "--virtual", THERE, THERE6)
                    lab.serve("B", "name", 8080)
                    person = lab.person("A", "app")
                    answers = [person(ask, THERE, 8080, 2), person(ask, "240.240.1.2", 8080, 2)]
                else:
                    receive_in(lab, mode)
                    lab.serve("A", "name", 8080)
                    answers = [lab.person("B")(ask, HERE, 8080, 2)]
                verdict(f"rp_filter={value} {direction} {mode}", all(len(a) > 1 for a in answers),
                        f"{', '.join(a[0] for a in answers)}; packets filtered: {filtered() - before}")
    finally:
        lab.sysctls("A", **{name: 0 for name in names})


@experiment
def policyrule(lab):
    """The ip rule of captured packets is taken away, as systemd-networkd does with rules that it does not know"""
    for direction, mode in (("outbound", "redirect"), ("outbound", "tproxy"), ("inbound", "redirect"), ("inbound", "tproxy")):
        lab.reset()
        out = direction == "outbound"
        (capture if out else receive_in)(lab, mode)
        lab.serve("B" if out else "A", "name", 8080)
        person, address = lab.person("A" if out else "B", "app" if out else "plain"), THERE if out else HERE
        person(dial, "live", address, 8080)
        person(send, "live", b"who")
        person(receive, "live")
        rule = ("pref", "16002", "fwmark", f"{rules.CAPTURED:#x}/{rules.MASK:#x}", "lookup", str(rules.TABLE))
        lab.inside("A", "ip", "rule", "del", *rule)
        try:
            before = len(lab.seen())
            live, new = outcome(person, "live"), person(ask, address, 8080, 2)
            through = len(lab.seen()) > before
            verdict(f"{direction} {mode}", live == "goes on" and through,
                    f"live flow: {live}; new flow: {new[0]}, {'by the relay' if through else 'PAST the relay'}")
        finally:
            lab.inside("A", "ip", "rule", "add", *rule)


@experiment
def virtual(lab):
    """Virtual addresses, routed to lo: 240.240.0.0/16 and fd77:6566:7400::/48"""
    for mode in ("redirect", *TPROXIES):
        lab.reset()
        capture(lab, mode, "--virtual", THERE, THERE6)
        lab.serve("B", "name", 8080)
        person = lab.person("A", "app")
        answers = [person(ask, address, 8080, 2) for address in ("240.240.1.2", "fd77:6566:7400::5")]
        stray = lab.person("A", "plain")(ask, "240.240.1.2", 8080, 2)
        seen = [line[4] for line in lab.seen() if len(line) == 6]
        verdict(mode, [a[0] for a in answers] == [THERE, THERE6] and seen == ["240.240.1.2", "fd77:6566:7400::5"],
                f"{', '.join(a[0] for a in answers)}; relay saw {', '.join(seen)}; a caller that is not captured: {stray[0]}")


@experiment
def caller(lab):
    """The caller's cgroup by the accepted socket's own two addresses, without conntrack; one flow each"""
    for mode in ("redirect", *TPROXIES):
        lab.reset()
        capture(lab, mode, loopback=True)
        lab.serve("B", "name", 8080)
        lab.serve("A", "name", 8081)
        person, words, good = lab.person("A", "app"), [], True
        for address, port in ((THERE, 8080), (THERE6, 8080), ("127.0.0.1", 8081), (A, 8081)):
            person(dial, address, address, port)
            person(send, address, b"who")
            person(receive, address)
            line = lab.seen()[-1]
            # redirect: the destination is the relay's own address by now.
            there = (line[4], int(line[5])) if mode != "redirect" else (("::1" if ":" in address else "127.0.0.1"), rules.OUTBOUND)
            plain = person(owner, line[0], int(line[1]), *there) == lab.cgroup_id("app")
            full_tuple = person(owner, line[2], int(line[3]), line[4], int(line[5])) == lab.cgroup_id("app")
            good = good and full_tuple
            words.append(f"{address} {'found' if plain else 'found only with conntrack' if full_tuple else 'NOT FOUND'}")
        verdict(mode, good, ", ".join(words))


@experiment
def source(lab):
    """What the application sees of the client, inbound; and whether its answers need the spoofed mark"""
    for mode in ("redirect", "tproxy", "tproxy-opening", "tproxy-notrack"):
        for lead_back in (True, False):
            lab.reset()
            receive_in(lab, mode, lead_back=lead_back)
            lab.serve("A", "name", 8080)
            person = lab.person("B")
            answers = [person(ask, address, 8080, 2) for address in (HERE, HERE6)]
            seen = [a[2] if len(a) > 1 else a[0] for a in answers]
            good = seen == [B, "fd77::2"]
            verdict(f"{mode}{'' if lead_back else ', without the mark'}", good == lead_back, f"the application saw {', '.join(seen)}")


@experiment
def spoofed(lab):
    """Inbound: 2,500 live flows of one client address to one endpoint, with the client's address shown; and with its very port"""
    for mode in ("redirect", "tproxy"):
        for options in ((), ("--ports", "10000", "32000")):
            lab.reset()
            receive_in(lab, mode, *SPOOF, *options)
            lab.serve("A", "name", 8080)
            person = lab.person("B")
            answers = person(open_many, [(0, HERE, 8080)] * 2500)
            right = sum(len(a) > 1 for a in answers)
            alive = person(repeat)
            verdict(mode + (", other ports" if options else ""), right == alive == 2500,
                    f"{right} of the first {len(answers)} opened, {alive} alive afterwards")
        lab.reset()
        receive_in(lab, mode, *SPOOF, "--same-port")
        lab.serve("A", "name", 8080)
        answer = lab.person("B")(ask, HERE, 8080, 2)
        verdict(f"{mode}, the client's port", len(answer) > 1, answer[0])


@experiment
def bind(lab):
    """An application of this host binds the port of a captured flow's destination"""
    for direction in ("outbound", "inbound"):
        port = 8090
        for mode in ("redirect", "tproxy"):
            words, good = [], True
            for reuse in (False, True):
                lab.reset()
                out = direction == "outbound"
                (capture if out else receive_in)(lab, mode)
                server, person = lab.person("B" if out else "A"), lab.person("A" if out else "B", "app" if out else "plain")
                server(listen, "listener", "0.0.0.0", port)
                person(dial, "live", THERE if out else HERE, port)
                server(accept, "listener", "live")
                if not out:
                    # The application starts anew: its connections and its listener are gone.
                    server(linger_nothing, "live")
                    server(end, "listener")
                    time.sleep(0.2)
                result = lab.person("A").attempt(listen, "again", "0.0.0.0", port, reuse)
                good = good and result is None
                words.append(f"{'with' if reuse else 'without'} SO_REUSEADDR: {'ok' if result is None else 'address in use' if 'Errno 98' in result else result}")
                port += 1
            verdict(f"{direction} {mode}", good, "; ".join(words))


def linger_nothing(memory, key):
    memory[key].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    memory.pop(key).close()


@experiment
def cookies(lab):
    """SYN cookies for every connection (tcp_syncookies=2): the handshake's last packet must find the listener"""
    try:
        lab.sysctl("A", "net.ipv4.tcp_syncookies", 2)
        for direction, modes in (("outbound", ("redirect", *TPROXIES)), ("inbound", ("redirect", "tproxy", "tproxy-opening"))):
            for mode in modes:
                lab.reset()
                out = direction == "outbound"
                (capture if out else receive_in)(lab, mode)
                lab.serve("B" if out else "A", "name", 8080)
                person = lab.person("A" if out else "B", "app" if out else "plain")
                answers = [person(ask, a, 8080, 2) for a in ((THERE, THERE6) if out else (HERE, HERE6))]
                verdict(f"{direction} {mode}", all(len(a) > 1 for a in answers), ", ".join(a[0] for a in answers))
    finally:
        lab.sysctl("A", "net.ipv4.tcp_syncookies", 1)


FIREWALL = """
table inet firewall {{
  chain input {{ type filter hook input priority 10; policy drop;
    iifname lo accept
    ct state established,related accept
    ip saddr {source} tcp dport 8080 accept
  }}
  chain output {{ type filter hook output priority 10; ip daddr 10.78.1.7 tcp dport 8080 reject with tcp reset; }}
}}
"""
STRICT = """
table inet weft-guard {{
  chain input {{ type filter hook input priority 0;
    ct state != new return
    iifname lo return{passed}
    {opening} tcp dport 8080 reject with tcp reset
  }}
}}
"""


@experiment
def firewall(lab):
    """The host's own filter by port and address, and Weft's refusal of plaintext to ports under STRICT while no agent runs"""
    for mode in ("redirect", "tproxy"):
        lab.reset()
        capture(lab, mode)
        lab.inside("A", "nft", "-f", "-", text=FIREWALL.format(source=B))
        lab.serve("B", "name", 8080)
        person = lab.person("A", "app")
        allowed, forbidden = person(ask, THERE, 8080, 2), person(ask, "10.78.1.7", 8080, 2)
        verdict(f"outbound {mode}", allowed[0] == THERE and len(forbidden) == 1, f"allowed: {allowed[0]}; forbidden destination: {forbidden[0]}")
    for mode in ("redirect", "tproxy"):
        words = []
        for allowed in (B, "10.77.0.99"):
            lab.reset()
            receive_in(lab, mode)
            lab.inside("A", "nft", "-f", "-", text=FIREWALL.format(source=allowed))
            lab.serve("A", "name", 8080)
            words.append(lab.person("B")(ask, HERE, 8080, 2)[0])
        verdict(f"inbound {mode}", words == [HERE, "TimeoutError"], f"source allowed at 8080: {words[0]}; not allowed: {words[1]}")
    for mode in ("redirect", "tproxy"):
        lab.reset()
        receive_in(lab, mode)
        passed = "\n    socket transparent 1 return" if mode == "tproxy" else ""
        lab.inside("A", "nft", "-f", "-", text=STRICT.format(passed=passed, opening=rules.OPENING))
        lab.serve("A", "name", 8080)
        words = [lab.person("B")(ask, HERE, 8080, 2)[0]]
        lab.stop(lab.relay_process)
        lab.inside("A", "nft", "delete", "table", "inet", "weft")
        words.append(lab.person("B")(ask, HERE, 8080, 2)[0])
        verdict(f"inbound {mode}, STRICT", words == [HERE, "ConnectionRefusedError"], f"with agent: {words[0]}; without: {words[1]}")


@experiment
def neighbour(lab):
    """A process of the same host, not captured, calls a captured endpoint: straight to the application in both modes"""
    for mode in ("redirect", "tproxy"):
        lab.reset()
        receive_in(lab, mode)
        lab.serve("A", "name", 8080)
        answers = [lab.person("A")(ask, address, 8080, 2) for address in (HERE, HERE6)]
        verdict(mode, all(len(a) > 1 for a in answers) and not lab.seen(), f"{', '.join(a[0] for a in answers)}; relayed {len(lab.seen())}")


@experiment
def closing(lab):
    """The client closes with data unread, so its kernel answers later data with a reset: does the relay hear of it"""
    for mode in ("redirect", *TPROXIES):
        lab.reset()
        capture(lab, mode)
        server, client = lab.person("B"), lab.person("A", "app")
        server(listen, "listener", "0.0.0.0", 8080)
        client(dial, "live", THERE, 8080)
        server(accept, "listener", "live")
        client(end, "live")
        time.sleep(0.2)
        # The client's socket is gone; what the server still says must end in a reset that reaches the server.
        result = "never told"
        for _ in range(10):
            text = server.attempt(send, "live", b"x" * 1000)
            if isinstance(text, str):
                result = "reset"
                break
            time.sleep(0.1)
        verdict(mode, result == "reset", f"server: {result}")
