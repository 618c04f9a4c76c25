"""The programs that make load, each run to its end."""

import json
import os
import subprocess

from hosts import Failure, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOAD = f"{ROOT}/.build/bench/load"


class Client:
    """Calls a contender's address of one service, as that contender's caller."""

    def __init__(self, contender, service):
        self.contender, self.host, self.caller = contender, contender.near, contender.caller(service)
        self.address, self.port = contender.address(service)

    def load(self, mode, *numbers, seconds):
        """Runs the load program; returns what it counted. A contender that breaks connections is not worth a figure."""
        connections, rest = numbers[0], numbers[1:]
        result = json.loads(self.run(LOAD, mode, self.address, self.port, connections, seconds, *rest, timeout=seconds + 30))
        if result["errors"] > result["count"] / 1000:
            raise Failure(f"{self.contender.name}: {result['errors']} connections of {result['count']} broke ({mode})")
        return result

    def hold(self, flows, size, seconds=60):
        command = [LOAD, "hold", self.address, self.port, flows, seconds, size]
        return subprocess.Popen(self.host.on(self.caller, *map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def iperf(self, flows, seconds):
        """Gigabytes that arrived, and in how many seconds."""
        out = self.run("iperf3", "-c", self.address, "-p", self.port, "-P", flows, "-t", seconds, "-J", timeout=seconds + 30)
        result = json.loads(out)
        received = result["end"].get("sum_received")
        if not received or not received["bytes"]:
            raise Failure(f"{self.contender.name}: iperf3 moved nothing: {result.get('error') or 'without saying why'}")
        return received["bytes"] / 1e9, received["seconds"]

    def check(self):
        """Waits until small and large messages come back as they were sent."""
        wait_until(f"{self.contender.name} answers at {self.address}:{self.port}", lambda: self.load("requests", 4, 64, seconds=0.1)["count"], timeout=20)
        if not self.load("requests", 4, 60000, seconds=0.2)["count"]:
            raise Failure(f"{self.contender.name}: a large message did not come back")

    def run(self, *command, timeout):
        try:
            return self.host.run(self.caller, *map(str, command), timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.contender.name}: {command[0]} did not end within {timeout:.0f} s") from None
