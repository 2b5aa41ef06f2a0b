"""A WSGI application under gunicorn, which answers with the path that it was called for.

wsgi_peer.py   listens on a port that the kernel chooses, and says "listening PORT"
"""

import socket

from gunicorn.app.base import BaseApplication


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode("latin-1")]


class Server(BaseApplication):
    def __init__(self, number, port):
        self.number, self.port = number, port
        super().__init__()

    def load_config(self):
        self.cfg.set("bind", f"fd://{self.number}")
        self.cfg.set("workers", 1)
        self.cfg.set("when_ready", lambda _: print("listening", self.port, flush=True))

    def load(self):
        return application


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(16)
listener.set_inheritable(True)
Server(listener.fileno(), listener.getsockname()[1]).run()
