#!/usr/bin/python3
"""What Weft's data path costs beside HAProxy's and Envoy's, in one run, in alternation. `make bench` calls it; needs root.

Results go to results.json and RESULTS.md beside this file; scenarios that did not run keep the results that they have there.
WEFTD, WEFT and WEFT_ENVOY name programs; default: the release build, and the Envoy that Scripts/setup installs.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, f"{os.path.dirname(HERE)}/Examples/bookinfo"]

import catalog  # noqa: E402
import counts  # noqa: E402
import envoy  # noqa: E402
import fairness  # noqa: E402
import haproxy  # noqa: E402
import membership  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
import scenarios  # noqa: E402
import weft  # noqa: E402
from contenders import Direct  # noqa: E402
from ground import SIGNALS, Ground  # noqa: E402
from hosts import Failure, run  # noqa: E402
from measure import DISTURBED, Others  # noqa: E402

KINDS = (Direct, haproxy.HAProxy, haproxy.HAProxyDefault, envoy.Envoy, envoy.EnvoyHBONE, weft.Weft, weft.Captured, fairness.SharedWeft, counts.Counted,
         membership.Memberlist, membership.WeftPool, membership.WeftLinked, catalog.Mesh, peers.Peers)
# How long a scenario may wait for the machine to be quiet, all its samples together.
PATIENCE = 120


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="Scenarios: " + ", ".join(one.name for one in scenarios.ALL))
    parser.add_argument("--scenario", default="", help="names, or beginnings of names, with commas between them; default: all")
    parser.add_argument("--rounds", type=int, choices=range(1, 101), metavar="N", help="default: what the scenario says, mostly 5")
    parser.add_argument("--seconds", type=float, help="of each sample; default: what the scenario says")
    parser.add_argument("--contenders", default="", help="names with commas between them; default: all. The results are not stored then")
    return parser.parse_args()


def chosen(text):
    """The scenarios that a list of names, or beginnings of names, stands for."""
    names = [name for name in text.replace(",", " ").split()]
    for name in names:
        if not any(one.name.startswith(name) for one in scenarios.ALL):
            raise SystemExit(f"bench: there is no scenario {name}; there are {', '.join(one.name for one in scenarios.ALL)}")
    return [one for one in scenarios.ALL if not names or any(one.name.startswith(name) for name in names)]


class Run:
    def __init__(self, options, place):
        self.options, self.place = options, place
        self.others = Others(place.lab.cgroups)
        self.contenders = {kind.name: kind(place) for kind in KINDS}
        self.failures = []

    def scenario(self, scenario):
        """Contender → its samples. A contender that fails is left out from there on."""
        wanted = [name for name in scenario.contenders if not self.options.contenders or name in self.options.contenders.split(",")]
        contenders = [self.contenders[name] for name in wanted]
        samples = {contender.name: [] for contender in contenders}
        self.patience = PATIENCE
        print(f"\n{scenario.name}: {scenario.title}", flush=True)
        try:
            if not scenario.fresh:
                self.attempt(contenders, lambda contender: self.ready(scenario, contender))
            for number in range(self.options.rounds or scenario.rounds):
                order = contenders if number % 2 == 0 else contenders[::-1]
                self.attempt(order, lambda contender: samples[contender.name].append(self.sample(scenario, contender, number)))
                contenders = [contender for contender in contenders if contender in order]
        finally:
            for name in wanted:
                self.contenders[name].stop()
            self.place.clear_rules()
        return samples

    def attempt(self, contenders, step):
        """Takes a step with each, and takes those out of the list that fail."""
        for contender in list(contenders):
            try:
                step(contender)
            # `hosts.py` raises SystemExit for an agent that ended.
            except (Failure, SystemExit, subprocess.TimeoutExpired) as error:
                print(f"  {contender.name} FAILED: {error}\n{contender.last_words()}", flush=True)
                self.failures.append(f"{contender.name}: {error}")
                contenders.remove(contender)
                contender.stop()

    def ready(self, scenario, contender):
        contender.start(scenario.way)
        self.place.tune()
        if scenario.check:
            scenario.client(contender).check()

    def sample(self, scenario, contender, number):
        if scenario.fresh:
            self.ready(scenario, contender)
        if scenario.timed:
            self.patience -= self.others.wait_for_quiet(self.patience)
        self.others.start()
        figures = scenario.sample(scenario, contender, self.options.seconds or scenario.seconds)
        others = self.others.cores() if scenario.timed else 0
        self.tell(number, contender, figures, others)
        self.place.empty_logs()
        if scenario.fresh:
            contender.stop()
            self.place.clear_rules()
        return {"others": round(others, 2), "figures": {key: float(f"{value:.5g}") for key, value in figures.items()}}

    @staticmethod
    def tell(number, contender, figures, others):
        disturbed = "  DISTURBED" if others > DISTURBED else ""
        words = "  ".join(f"{key} {report.number(value)}" for key, value in figures.items())
        print(f"  {number + 1} {contender.name:16} {words}  (others: {others:.2f} core{disturbed})", flush=True)


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    with open("/proc/sys/net/ipv4/tcp_available_ulp") as file:
        kernel_tls = "yes" if "tls" in file.read().split() else "no"
    return {
        "processor": model, "cores": os.cpu_count(), "memory": f"{memory:.0f} GiB", "kernel": platform.release(), "TLS in the kernel": kernel_tls,
        "HAProxy": haproxy.HAProxy.version(), "Envoy": envoy.Envoy.version(), "Weft": weft.Weft.version(),
    }


def rules(scenario):
    """What is in the packet filter while contenders run side by side."""
    if scenario.fresh or "weft" not in scenario.contenders or weft.can_do_without_capture():
        return ""
    return "Weft's capture rules were loaded, for all contenders."


def commit():
    git = ("git", "-c", f"safe.directory={weft.ROOT}", "-C", weft.ROOT)
    try:
        changed = "" if not run(*git, "status", "--porcelain", "--untracked-files=no", "--", "Sources").strip() else " and changes"
        return run(*git, "rev-parse", "--short=12", "HEAD").strip() + changed
    except (Failure, OSError):
        return "unknown"


def measure(options, place):
    running = Run(options, place)
    for scenario in chosen(options.scenario):
        facts = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "rounds": options.rounds or scenario.rounds, "seconds": options.seconds or scenario.seconds,
                 "commit": commit(), "rules": rules(scenario)}
        result = results.scenario_result(scenario, running.scenario(scenario), facts)
        print(report.text(scenario.name, result), flush=True)
        if not options.contenders:
            store(scenario.name, result)
    for failure in running.failures:
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if running.failures else 0


def store(name, result):
    """After each scenario: what was measured is not lost when the next one fails."""
    stored = results.load()
    known = stored["scenarios"] | {name: result}
    stored = {"machine": machine(), "scenarios": {one.name: known[one.name] for one in scenarios.ALL if one.name in known}}
    results.save(stored)
    report.render(stored, {kind.name: kind.settings for kind in KINDS if hasattr(kind, "settings")})


def main():
    options = arguments()
    chosen(options.scenario)

    def stop(number, frame):
        raise KeyboardInterrupt

    for number in SIGNALS:
        signal.signal(number, stop)
    place = None
    try:
        place = Ground(weft.WEFTD, weft.WEFT)
        return measure(options, place)
    except (Failure, subprocess.TimeoutExpired) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        # From here on nothing interrupts: whatever was made goes.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if place:
            place.remove()


if __name__ == "__main__":
    sys.exit(main())
