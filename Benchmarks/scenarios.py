"""The scenarios, in the order in which they run, with what Weft is to reach in each."""

import catalog
import counts
import fairness
import membership
import peers
import samples
from scenario import Row, Scenario, also

PLAIN = ("direct", "haproxy", "haproxy-default", "envoy", "weft")
PAIR = ("direct", "haproxy", "envoy", "envoy-hbone", "weft")
# Those that make a handshake for each flow.
HANDSHAKERS = ("haproxy", "envoy")

REQUESTS = "requests of 64 B on 32 kept connections"
CONNECTIONS = "connections (connect, 64 B there and back, close; 32 under way)"
KERNEL = also("kernel", "of that in the kernel", "%")
FLOWS = ((1, "1 flow"), (4, "4 flows"))


def plaintext(way, words, contenders, fresh):
    """One proxy, no TLS."""
    bulk = [row for flows, count in FLOWS for row in (
        Row(f"cost{flows}", f"CPU time, {count}", "s/GB", ratio=1.0), also(f"rate{flows}", f"throughput, {count}", "Gbit/s", "more"))]
    requests = [Row("cost", "CPU time of a request", "µs", ratio=0.95), KERNEL, also("rate", "requests", "1/s", "more"), also("p99", "p99", "ms")]
    connects = [Row("cost", "CPU time of a connection", "µs", ratio=0.95), KERNEL, also("rate", "connections", "1/s", "more"), also("p99", "p99", "ms")]
    return [
        Scenario(f"{way}-bulk", f"Plaintext, {words}: bulk", way, contenders, bulk + [KERNEL], samples.bulk, fresh),
        Scenario(f"{way}-requests", f"Plaintext, {words}: {REQUESTS}", way, contenders, requests, samples.messages("requests"), fresh),
        Scenario(f"{way}-connects", f"Plaintext, {words}: {CONNECTIONS}", way, contenders, connects, samples.messages("connects"), fresh),
    ]


def pair():
    """Two proxies, mutual TLS between them."""
    bulk = [row for flows, count in FLOWS for row in (
        Row(f"yield{flows}", f"both proxies, {count}", "GB per CPU second", "more", ratio=1.3), also(f"rate{flows}", f"throughput, {count}", "Gbit/s", "more"))]
    requests = [
        Row("yield", "both proxies, requests", "per CPU second", "more", ratio=1.3), also("rate", "requests", "1/s", "more"), also("p99", "p99", "ms")]
    connects = [
        Row("rate", "flows", "1/s", "more", ratio=5, peers=HANDSHAKERS),
        Row("yield", "both proxies, flows", "per CPU second", "more", ratio=5, peers=HANDSHAKERS), also("p99", "p99", "ms")]
    latency = [row for key, words in (("p50", "p50"), ("p99", "p99")) for row in (
        Row(key, f"{words}, added to the direct call's", "ms", ratio=1.0, above="direct"), also(key, words, "ms"))] + [also("p999", "p99.9", "ms")]
    return [
        Scenario("pair-bulk", "Mutual TLS: bulk", "pair", PAIR, bulk, samples.bulk),
        Scenario("pair-requests", f"Mutual TLS: {REQUESTS}", "pair", PAIR, requests, samples.messages("requests")),
        Scenario("pair-connects", f"Mutual TLS: new {CONNECTIONS}", "pair", PAIR, connects, samples.messages("connects")),
        Scenario("pair-latency", "Mutual TLS: 1,000 requests of 1 KiB a second on 32 kept connections; latency counts from when each was due", "pair", PAIR,
                 latency, samples.paced(1000), seconds=10, message=1024),
    ]


def memory():
    kernel = [also("kernel", "the kernel's, callers and servers included", "KiB"), also("flows", "flows", "")]
    return [
        Scenario("idle-plain", "Memory of an idle plaintext flow, of 8,000", "plain", PLAIN, [
            Row("near", "anonymous memory of the proxy", "KiB", limit=2.5), *kernel], samples.idle, fresh=True, timed=False, flows=8000),
        Scenario("idle-pair", "Memory of an idle flow with mutual TLS between two proxies, of 10,000", "pair", PAIR, [
            Row("near", "anonymous memory of the callers' proxy", "KiB", limit=4), Row("far", "anonymous memory of the servers' proxy", "KiB", limit=4), *kernel],
            samples.idle, fresh=True, timed=False, flows=10000),
        Scenario("rest", "Memory of a proxy at rest", "plain", PLAIN[1:], [
            Row("anonymous", "anonymous", "MB", limit=10), Row("resident", "resident", "MB", limit=40)], samples.rest, fresh=True, check=False, timed=False),
    ]


def captured(name, title, way, contenders):
    """What a captured caller pays: against a straight call, and against a call at a bare listener."""
    bulk = [row for flows, count in FLOWS for row in (
        also(f"rate{flows}", f"throughput, {count}", "Gbit/s", "more"), Row(f"cost{flows}", f"CPU time, {count}", "s/GB", peers=("weft",)))]
    each = [also("p50", "p50", "ms"), also("p99", "p99", "ms"), KERNEL]
    requests = [also("rate", "requests", "1/s", "more"), Row("cost", "CPU time of a request", "µs", peers=("weft",)), *each]
    connects = [also("rate", "connections", "1/s", "more"), Row("cost", "CPU time of a connection", "µs", peers=("weft",)), *each]
    return [
        Scenario(f"{name}-bulk", f"{title}: bulk", way, contenders, bulk + [KERNEL], samples.bulk, fresh=True),
        Scenario(f"{name}-requests", f"{title}: {REQUESTS}", way, contenders, requests, samples.messages("requests"), fresh=True),
        Scenario(f"{name}-connects", f"{title}: {CONNECTIONS}", way, contenders, connects, samples.messages("connects"), fresh=True),
    ]


ALL = (
    plaintext("plain", "bare listener", PLAIN, fresh=False)
    + plaintext("redirect", "behind a redirect", (*PLAIN[:-1], "captured"), fresh=True)
    + pair() + memory()
    + captured("capture", "Captured, to a service of the same host", "redirect", ("direct", "weft", "captured"))
    + captured("mesh", "Captured, to a service of the other host", "pair", ("direct", "captured"))
    + fairness.SCENARIOS + counts.SCENARIOS + membership.SCENARIOS + catalog.SCENARIOS + peers.SCENARIOS
)
