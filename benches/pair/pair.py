"""A backend, and two sidecars of one peer in front of it."""
import contextlib
import itertools
import os
import shutil

import material
from peers import Direct, Side
from process import Process, rss_kib


class Workbench:
    """Directories, ports and certificates that the measurements share."""

    def __init__(self, directory, threads, keep):
        self.directory = os.path.join(directory, f"run-{os.getpid()}")
        os.makedirs(self.directory)
        self.certs = os.path.join(directory, "certs")
        material.make(self.certs)
        self.threads, self.keep = threads, keep
        self._numbers = itertools.count(1)
        self._ports = itertools.cycle(range(20100, 31000))

    def close(self):
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def port(self):
        return next(self._ports)

    def scratch(self, name):
        path = os.path.join(self.directory, f"{next(self._numbers)}-{name}")
        os.makedirs(path)
        return path

    @contextlib.contextmanager
    def pair(self, peer, mode, backend):
        """Starts `backend` and the pair in front of it, and ends them all."""
        with contextlib.ExitStack() as running:
            port = self.port()
            behind = backend(self.scratch("backend"), port)
            running.callback(behind.stop)
            sink = self.port()
            if command := peer.receiver(self.certs, sink):
                receiver = Process(command, self.scratch(f"{peer.name}-sink"))
                running.callback(receiver.stop)
                receiver.wait_listening(sink)
            sides, ready = {}, {}
            for role in () if isinstance(peer, Direct) else ("ingress", "egress"):
                side = Side(role, mode, self.port(), port, self.port(), self.certs, self.threads,
                            self.scratch(f"{peer.name}-{role}"), sink)
                sides[role] = Process(peer.start(side), side.directory)
                running.callback(sides[role].stop)
                ready[role] = sides[role].wait_listening(side.listen)
                sides[role].port = port = side.listen
                sides[role].admin = side.admin
            yield Pair(sides, behind, port, ready)


class Pair:
    """Running sidecars. `port` is where the load client connects in plaintext."""

    def __init__(self, sides, backend, port, ready):
        self.sides, self.backend, self.port, self.ready = sides, backend, port, ready

    def mark(self):
        """Counts CPU from now on."""
        for process in (*self.sides.values(), self.backend):
            process.mark()

    def cpu(self):
        """CPU seconds of both sidecars since the mark."""
        return sum(process.cpu() for process in self.sides.values())

    def rss_kib(self):
        """Resident memory of both."""
        return sum(rss_kib(process.pid) for process in self.sides.values())
