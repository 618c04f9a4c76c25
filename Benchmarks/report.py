"""The results as people read them: a table for each scenario, on the terminal and in RESULTS.md."""

import os

from clients import ROOT

PATH = f"{ROOT}/Benchmarks/RESULTS.md"


def number(value):
    if value is None:
        return "–"
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def target(row):
    if row["limit"] is not None:
        return f"≤ {row['limit']:g} {row['unit']}"
    if row["ratioTarget"] is not None:
        return f"{'≤' if row['better'] == 'less' else '≥'} {row['ratioTarget']:g} ×"
    return ""


def table(scenario):
    """Head and lines, as lists of words."""
    names = list(scenario["samples"])
    head = ["", "unit", *names, "ratio", "target", "met"]
    lines = []
    for row in scenario["rows"]:
        figures = [number(row["figures"][name]["median"]) if name in row["figures"] else "–" for name in names]
        ratio = f"{row['ratio']:.2f} ({row['bestPeer']})" if "ratio" in row else ""
        met = {True: "yes", False: "NO", None: ""}[row.get("met")]
        lines.append([row["title"], row["unit"], *figures, ratio, target(row), met])
    return head, lines


def text(name, scenario):
    head, lines = table(scenario)
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    out = [f"{name}: {scenario['title']}"]
    for line in [head, *lines]:
        out.append("  " + "  ".join(word.ljust(width) if column < 2 else word.rjust(width) for column, (word, width) in enumerate(zip(line, widths))).rstrip())
    return "\n".join(out)


def markdown(name, scenario):
    head, lines = table(scenario)
    out = [f"### {scenario['title']}", "", f"`SCENARIO={name}`, {scenario['date']}, {scenario['rounds']} rounds of {scenario['seconds']:g} s, "
           f"{scenario['disturbed']} of {sum(map(len, scenario['samples'].values()))} samples disturbed, commit {scenario['commit']}. {scenario['rules']}".strip(), ""]
    out.append("| " + " | ".join(head) + " |")
    out.append("|---|---|" + "---:|" * (len(head) - 2))
    for line in lines:
        if line[-1] == "NO":
            line[-1] = "**no**"
        out.append("| " + " | ".join(line) + " |")
    return "\n".join(out + [""])


METHOD = """Everything runs on one machine, in two network namespaces on one bridge: callers and proxies in `near`, servers and the second proxy of a pair in
`far`; plaintext with a single proxy stays on the loopback device of `near`. The contenders take turns in every round, in the opposite order in every
second one. CPU time is that of the proxies' cgroups, to the microsecond (what of it was in the kernel is the kernel's estimate); callers and servers do not
count. Figures are medians over the rounds that other programs did not disturb (more than 0.3 core); least and most, and every sample, are in
`results.json`. The ratio is Weft's median divided by the best peer's, which is named. A contender is measured only after it has sent small and large
messages back unchanged, and the load program goes on to compare every byte of every answer. All contenders write an access log to a file.

Bulk is iperf3, from the caller to the server. Latency at a fixed rate counts from when a request was due, so that a stall is charged for all that waited.
Each sample of the scenarios about memory, redirects and capture has processes of its own, and nothing else runs beside them. In the others the contenders
run side by side in the same namespaces, so that whatever the kernel does for one it does for all: without capture that is nothing; where Weft's rules were
loaded, as a scenario says then, they and conntrack cost every contender's packets alike. What capture costs is in `redirect-…`, where the kernel redirects
the peers' callers, too, with one rule, and in `capture-…`.

Where connections come and go, both namespaces have more ports (20000–65535), reuse those of closed connections (`tcp_tw_reuse`) and let conntrack forget them
after two seconds: the machine would otherwise run out of either between the rounds."""


def render(stored, settings):
    scenarios = stored["scenarios"]
    machine = stored["machine"]
    out = ["# Weft, HAProxy and Envoy side by side", "", "Made by `make bench`; see [README.md](README.md).", "",
           "| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in machine.items()), "", "## Figures", ""]
    out += [markdown(name, scenario) for name, scenario in scenarios.items()]
    out += ["## Method", "", METHOD, "", "## Settings of the contenders, and why", "", *(f"- **{name}**: {words}" for name, words in settings.items())]
    with open(f"{PATH}.new", "w") as file:
        file.write("\n".join(out).rstrip() + "\n")
    os.replace(f"{PATH}.new", PATH)
