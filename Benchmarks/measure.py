"""What is read from the kernel: CPU time, other programs' load, memory."""

import os
import time

# A round during which other programs used more than this many cores says little; and below the second the machine counts as quiet.
DISTURBED = 0.3
QUIET = 0.15


class Cpu:
    """CPU seconds."""

    def __init__(self, user=0.0, system=0.0):
        self.user, self.system = user, system

    @property
    def total(self):
        return self.user + self.system

    def __add__(self, other):
        return Cpu(self.user + other.user, self.system + other.system)

    def __sub__(self, other):
        return Cpu(self.user - other.user, self.system - other.system)


def cgroup_cpu(path):
    """Of all processes that are or were in the cgroup and below it. The sum is exact; the kernel shares it out by samples, so the two parts are not."""
    with open(f"{path}/cpu.stat") as file:
        fields = dict(line.split() for line in file)
    return Cpu(int(fields["user_usec"]) / 1e6, int(fields["system_usec"]) / 1e6)


def machine_cpu():
    """CPU seconds that anything on the machine used since it started, but for what its own host took away."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:8]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


class Others:
    """How many cores the programs use that are not the benchmark's."""

    def __init__(self, cgroup):
        self.cgroup = cgroup
        self.start()

    def start(self):
        self.since, self.before = time.monotonic(), self.theirs()

    def theirs(self):
        return machine_cpu() - cgroup_cpu(self.cgroup).total - sum(os.times()[:2])

    def cores(self):
        return max(0.0, (self.theirs() - self.before) / (time.monotonic() - self.since))

    def wait_for_quiet(self, patience):
        """Waits until they use next to nothing, at most `patience` seconds; returns the seconds that it took."""
        begin = time.monotonic()
        while time.monotonic() - begin < patience:
            self.start()
            time.sleep(0.5)
            if self.cores() < QUIET:
                break
        return time.monotonic() - begin


def members(cgroup):
    with open(f"{cgroup}/cgroup.procs") as file:
        return [int(line) for line in file]


def memory(cgroup):
    """Bytes of the processes in a cgroup: (anonymous, resident)."""
    anonymous = resident = 0
    for pid in members(cgroup):
        with open(f"/proc/{pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        anonymous += int(fields["RssAnon"].split()[0]) << 10
        resident += int(fields["VmRSS"].split()[0]) << 10
    return anonymous, resident


def kernel_memory():
    """Bytes of the whole machine's kernel objects and TCP buffers."""
    with open("/proc/meminfo") as file:
        slab = int(dict(line.split(":", 1) for line in file)["Slab"].split()[0]) << 10
    with open("/proc/net/sockstat") as file:
        words = next(line for line in file if line.startswith("TCP:")).split()
    return slab + int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE")
