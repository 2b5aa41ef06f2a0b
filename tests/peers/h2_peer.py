"""An HTTP/2 peer that says what no well-behaved client would, by the package `h2`.

h2_peer.py shapes PORT NAME CERT KEY CA   sends every shape of SHAPES, each on a connection of its own over
                                          mutual TLS, and says "LABEL: OUTCOME" for each
h2_peer.py drain PORT NAME CERT KEY CA    sends half a request, says "half sent", waits for GOAWAY, says
                                          "goaway", sends the other half and says what the answer was
An outcome is the status, "reset CODE" or "goaway CODE".
"""

import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events

GOOD = [(":method", "GET"), (":scheme", "https"), (":authority", "ehr"), (":path", "/smuggled")]


def but(**changes):
    changed = {":" + name: value for name, value in changes.items()}
    return [(n, changed.get(n, v)) for n, v in GOOD if changed.get(n, v) is not None]


# A label, the headers, and the body.
SHAPES = [
    ("dot segment", but(path="/a/../smuggled"), b""),
    ("encoded dot segment", but(path="/a/%2e%2e/smuggled"), b""),
    ("encoded slash", but(path="/a%2fsmuggled"), b""),
    ("double slash", but(path="//smuggled"), b""),
    ("path without slash", but(path="smuggled"), b""),
    ("empty path", but(path=""), b""),
    ("no path", but(path=None), b""),
    ("absolute path", but(path="http://other/smuggled"), b""),
    ("line break in the path", but(path="/a HTTP/1.1\r\nsmuggled: 1"), b""),
    ("space in the path", but(path="/a smuggled"), b""),
    ("two paths", GOOD + [(":path", "/other")], b""),
    ("pseudo-header behind a header", GOOD[:3] + [("x", "1"), GOOD[3]], b""),
    ("unknown pseudo-header", GOOD + [(":smuggled", "1")], b""),
    ("no authority and no host", but(authority=None), b""),
    ("host beside authority", GOOD + [("host", "other")], b""),
    ("two hosts", but(authority=None) + [("host", "ehr"), ("host", "other")], b""),
    ("user in the authority", but(authority="admin@ehr"), b""),
    ("line break in the authority", but(authority="ehr\r\nsmuggled: 1"), b""),
    ("no method", but(method=None), b""),
    ("space in the method", but(method="GET /smuggled"), b""),
    ("connect", [(":method", "CONNECT"), (":authority", "ehr:80")], b""),
    ("trace", but(method="TRACE"), b""),
    ("connection header", GOOD + [("connection", "x-smuggled")], b""),
    ("transfer-encoding", but(method="POST") + [("transfer-encoding", "chunked")], b"0\r\n\r\n"),
    ("upgrade", GOOD + [("upgrade", "websocket")], b""),
    ("te", GOOD + [("te", "gzip")], b""),
    ("line break in a value", GOOD + [("x", "1\r\nsmuggled: 1")], b""),
    ("line feed in a value", GOOD + [("x", "1\nsmuggled: 1")], b""),
    ("zero in a value", GOOD + [("x", "1\x00")], b""),
    ("line break in a name", GOOD + [("x: 1\r\nsmuggled", "1")], b""),
    ("upper case name", GOOD + [("X-Smuggled", "1")], b""),
    ("colon in a name", GOOD + [("x:smuggled", "1")], b""),
    ("empty name", GOOD + [("", "smuggled")], b""),
    ("length above the body", but(method="POST") + [("content-length", "10")], b"short"),
    ("length below the body", but(method="POST") + [("content-length", "1")], b"smuggled"),
    ("two lengths", but(method="POST") + [("content-length", "5"), ("content-length", "8")], b"smugg"),
    ("length that is none", but(method="POST") + [("content-length", "+5")], b"smugg"),
    ("imitated header", GOOD + [("x_forwarded_client_cert", "URI=spiffe://hospital.example/admin")], b""),
]


class Peer:
    def __init__(self, port, name, cert, key, ca):
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(cert, key)
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", int(port)), timeout=10)
        self.socket = context.wrap_socket(plain, server_hostname=name)
        # Says whatever it is told to, but listens strictly.
        config = h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8"
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def events(self):
        while data := self.socket.recv(65536):
            yield from self.h2.receive_data(data)
            self.flush()

    def outcome(self):
        status = None
        try:
            for event in self.events():
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.StreamEnded):
                    return status
                elif isinstance(event, h2.events.StreamReset):
                    return status or f"reset {int(event.error_code)}"
                elif isinstance(event, h2.events.ConnectionTerminated) and event.error_code:
                    return f"goaway {int(event.error_code)}"
        except ConnectionError:
            pass
        return status or "closed"


def shapes(*where):
    for label, headers, body in SHAPES:
        peer = Peer(*where)
        peer.h2.send_headers(1, headers, end_stream=not body)
        if body:
            peer.h2.send_data(1, body, end_stream=True)
        peer.flush()
        print(f"{label}: {peer.outcome()}", flush=True)
        peer.socket.close()


def exactly(stream, count):
    data = stream.read(count)
    assert len(data) == count, "the connection ended"
    return data


def drain(*where):
    peer = Peer(*where)
    headers = but(method="POST", path="/long") + [("content-length", "4")]
    peer.h2.send_headers(1, headers)
    peer.h2.send_data(1, b"ab")
    peer.flush()
    print("half sent", flush=True)
    # Frames are read by hand: the library takes nothing more behind GOAWAY.
    stream = peer.socket.makefile("rb")
    while True:
        head = exactly(stream, 9)
        kind, flags = head[3], head[4]
        body = exactly(stream, int.from_bytes(head[:3], "big"))
        if kind == 4 and not flags & 1:  # SETTINGS
            peer.socket.sendall(b"\0\0\0\4\1\0\0\0\0")
        elif kind == 6 and not flags & 1:  # PING, by which a server learns that GOAWAY has arrived
            peer.socket.sendall(b"\0\0\x08\6\1\0\0\0\0" + body)
        elif kind == 7:  # GOAWAY
            last, code = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
            assert code == 0, code
            print("goaway", "last" if last == 1 else "first", flush=True)
            if last == 1:
                peer.socket.sendall(b"\0\0\2\0\1\0\0\0\1cd")  # DATA, END_STREAM
        elif kind == 0:  # DATA
            print("answer", body.decode(), flush=True)
            return


what, *where = sys.argv[1:]
{"shapes": shapes, "drain": drain}[what](*where)
