"""The proxies that are compared. Each says how one side of its pair is configured and started."""
import dataclasses
import os
import shutil

SUITE = "TLS_AES_128_GCM_SHA256"        # the one that Envoy takes here and that cannot be set in it
SERVER_NAME = "ingress.test"


@dataclasses.dataclass
class Side:
    """One side of a pair: `egress` (plaintext in, mutual TLS out) or `ingress` (the mirror)."""
    role: str
    mode: str                           # l4 or l7
    listen: int
    connect: int
    admin: int                          # a port for the proxy's own use
    certs: str
    threads: int
    directory: str
    sink: int                           # where the peer's receiver listens, if it has one

    @property
    def name(self):
        """Whose certificate this side presents."""
        return "client" if self.role == "egress" else "server"

    def write(self, name, text):
        """Writes a file of this side's own; returns its path."""
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        return path


class Peer:
    name = ""
    modes = ("l4",)
    command = ""
    install = ""
    version = ("-v",)
    by_name = False                     # runs only when it is asked for

    def __init__(self, binary=None):
        self.binary = binary or shutil.which(self.command)

    def available(self):
        return bool(self.binary and os.path.exists(self.binary))

    def start(self, side):
        """Writes what the side needs; returns its command line."""
        raise NotImplementedError

    def receiver(self, certs, port):
        """The command of a program to which its sidecars send what they record, listening on `port`; None: to nobody."""

    def settle(self, pair):
        """Waits until that has everything; for how many seconds. None: there is nothing to wait for."""


class Direct(Peer):
    """No proxy: the load client talks to the backend. What the machine can do."""
    name, modes = "direct", ("l4", "l7")

    def available(self):
        return True
