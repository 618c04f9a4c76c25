"""Figures out of samples, and the file that keeps them from run to run."""

import json
import os
import statistics

from clients import ROOT
from measure import DISTURBED

PATH = f"{ROOT}/Benchmarks/results.json"
# Whose figure is held against the peers', in the order of preference.
SUBJECTS = ("captured", "weft", "weft-shared", "weft-counted", "weft-linked", "weft-pool", "weft-mesh", "weft-peers")


def quiet(samples):
    """The samples that other programs did not disturb; all of them when those are less than half."""
    good = [sample for sample in samples if sample["others"] <= DISTURBED]
    return good if 2 * len(good) >= len(samples) else samples


def figure(samples, key):
    values = [sample["figures"][key] for sample in quiet(samples) if key in sample["figures"]]
    if not values:
        return None
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def row_result(row, samples, subject):
    """`samples`: contender → its samples."""
    figures = {name: found for name in samples if (found := figure(samples[name], row.key))}
    if row.above:
        ground = figures.pop(row.above, {"median": 0})["median"]
        figures = {name: {which: value - ground for which, value in found.items()} for name, found in figures.items()}
    result = {"key": row.key, "title": row.title, "unit": row.unit, "better": row.better, "figures": figures, "ratioTarget": row.ratio, "limit": row.limit}
    best = (min if row.better == "less" else max)
    peers = {name: figures[name]["median"] for name in figures if name in row.peers and name != subject}
    if subject in figures and peers:
        result["bestPeer"] = best(peers, key=peers.get)
        if peers[result["bestPeer"]] > 0:
            result["ratio"] = figures[subject]["median"] / peers[result["bestPeer"]]
    if subject in figures:
        if row.limit is not None:
            result["met"] = figures[subject]["median"] <= row.limit
        elif row.ratio is not None and "ratio" in result:
            result["met"] = result["ratio"] <= row.ratio if row.better == "less" else result["ratio"] >= row.ratio
    return result


def scenario_result(scenario, samples, facts):
    """`facts`: of the run, see bench.py."""
    subject = next((name for name in SUBJECTS if name in samples), None)
    return {
        "title": scenario.title, "subject": subject, **facts,
        "disturbed": sum(sample["others"] > DISTURBED for taken in samples.values() for sample in taken),
        "samples": samples, "rows": [row_result(row, samples, subject) for row in scenario.rows],
    }


def load():
    try:
        with open(PATH) as file:
            return json.load(file)
    except FileNotFoundError:
        return {"scenarios": {}}


def save(stored):
    """Whole or not at all."""
    with open(f"{PATH}.new", "w") as file:
        json.dump(stored, file, indent=1, ensure_ascii=False)
        file.write("\n")
    os.replace(f"{PATH}.new", PATH)
