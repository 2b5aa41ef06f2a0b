"""The interface engine: takes HL7 v2 messages by MLLP and acknowledges each.

engine.py [ADDRESS]     the address to listen on, port 2575; default 127.0.0.1
"""

import socketserver
import sys

from lab import END, START, frames


class Engine(socketserver.StreamRequestHandler):
    def handle(self):
        for message in frames(self.connection):
            header = message.split("\r")[0].split("|")
            answer = [
                "|".join(["MSH", header[1], "ENGINE", "WARD", *header[2:4], header[6], "", "ACK", f"A{header[9]}", "P", "2.5"]),
                f"MSA|AA|{header[9]}",
            ]
            self.wfile.write(START + "".join(f"{segment}\r" for segment in answer).encode() + END)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    Server((address, 2575), Engine).serve_forever()
