"""Child processes, and what they cost."""
import atexit
import os
import signal
import socket
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")

# glibc copies with `rep movsb`, which is slow on AMD family 19h for the offsets that TLS records have.
# Set for every process alike, so that no peer gains or loses by it.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=100000000"}


def tree(pid):
    """A process and all its descendants."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    todo += [int(child) for child in file.read().split()]
        except OSError:
            pass
    return found


def cpu_seconds(pid):
    """User and kernel time of a process tree."""
    ticks = 0
    for pid in tree(pid):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks / TICK


def rss_kib(pid):
    """Resident memory of a process tree."""
    total = 0
    for pid in tree(pid):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Rss:"))
        except OSError:
            pass
    return total


def machine_busy():
    """CPU seconds that the whole machine has been busy, the hypervisor's share included."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


class Process:
    """A child in a session of its own, so that all it starts can be ended with it."""

    def __init__(self, argv, directory, environment=None):
        self.argv, self.begun = argv, time.monotonic()
        self.log = os.path.join(directory, "out.log")
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **ENVIRONMENT, **(environment or {})}, start_new_session=True)
        self.pid = self.child.pid
        self.cpu_before = 0.0
        self.port = None

    def wait_listening(self, port, limit=15):
        """Waits until the port accepts; returns seconds since the start."""
        end = time.monotonic() + limit
        while time.monotonic() < end and self.child.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return time.monotonic() - self.begun
            except OSError:
                time.sleep(0.001)
        with open(self.log, errors="replace") as file:
            said = file.read()[-1500:]
        raise RuntimeError(f"{self.argv[0]} does not listen on port {port}: {said}")

    def mark(self):
        """Counts CPU from now on."""
        self.cpu_before = cpu_seconds(self.pid)

    def cpu(self):
        """CPU seconds since the mark."""
        return cpu_seconds(self.pid) - self.cpu_before

    def stop(self):
        """Asks, waits, then kills what this process started; nothing else."""
        family = tree(self.pid)
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(3)
        except subprocess.TimeoutExpired:
            pass
        for pid in reversed(family):
            try:
                if os.getsid(pid) == self.pid:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.child.wait()


def favour(shares):
    """Moves this process, and so all it starts, into a CPU cgroup with that many shares (1024 is normal)."""
    root = "/sys/fs/cgroup/cpu"
    if not os.access(f"{root}/cgroup.procs", os.W_OK):
        sys.exit(f"--shares needs root and a cgroup v1 `cpu` hierarchy at {root}")
    mine = f"{root}/pair-{os.getpid()}"
    os.mkdir(mine)

    def write(path, value):
        with open(path, "w") as file:
            file.write(str(value))

    def leave():
        write(f"{root}/cgroup.procs", os.getpid())
        for _ in range(20):
            try:
                return os.rmdir(mine)
            except OSError:
                time.sleep(0.1)

    write(f"{mine}/cpu.shares", shares)
    write(f"{mine}/cgroup.procs", os.getpid())
    atexit.register(leave)
