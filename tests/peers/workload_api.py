"""A SPIFFE Workload API, made from the stubs of PyPI's `spiffe`: it says what it is told to say.

workload_api.py SOCKET   listens there, says "listening", and then obeys one line of standard input after another:

say JSON   sends this response on all streams, now and as the first thing on each new one; JSON has the
           fields of X509SVIDResponse, bytes in base64
deny       refuses all streams, now and from now on, as SPIRE's agent refuses a process without registration
refuse C   the same with another gRPC status
drop       ends all streams that are open
hush       says nothing on streams to come

It says when a stream opens ("stream N"), when something was sent on it ("sent N"), and when the other side has gone
("gone N").
"""

import base64
import json
import queue
import sys
import threading
from concurrent import futures

import grpc
from spiffe._proto import workload_pb2, workload_pb2_grpc

lock = threading.Lock()
streams = []  # the queue of each open stream
standing = None  # what a new stream begins with


def say(line):
    with lock:
        print(line, flush=True)


def response(text):
    fields = json.loads(text)
    decoded = base64.b64decode
    svids = [
        workload_pb2.X509SVID(
            spiffe_id=svid["spiffe_id"],
            x509_svid=decoded(svid["x509_svid"]),
            x509_svid_key=decoded(svid["x509_svid_key"]),
            bundle=decoded(svid["bundle"]),
        )
        for svid in fields["svids"]
    ]
    federated = {name: decoded(bundle) for name, bundle in fields["federated_bundles"].items()}
    return workload_pb2.X509SVIDResponse(svids=svids, federated_bundles=federated)


class Agent(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    opened = 0

    def FetchX509SVID(self, request, context):
        # The header keeps a browser or a proxy that is tricked into asking from being answered.
        if dict(context.invocation_metadata()).get("workload.spiffe.io") != "true":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        mine = queue.Queue()
        with lock:
            Agent.opened += 1
            number = Agent.opened
            streams.append(mine)
            if standing is not None:
                mine.put(standing)
        context.add_callback(lambda: mine.put(None))
        say(f"stream {number}")
        while (said := mine.get()) is not None:
            if isinstance(said, tuple):
                context.abort(*said)
            yield said
            say(f"sent {number}")
        if not context.is_active():
            say(f"gone {number}")


def announce(said):
    global standing
    with lock:
        standing = said
        for stream in streams:
            stream.put(said)


def drop():
    with lock:
        for stream in streams:
            stream.put(None)
        streams.clear()


def hush():
    global standing
    with lock:
        standing = None


def main(socket):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=50))
    workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(Agent(), server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    say("listening")
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "say":
            announce(response(rest))
        elif command == "deny":
            announce((grpc.StatusCode.PERMISSION_DENIED, "no identity issued"))
        elif command == "refuse":
            announce((grpc.StatusCode[rest], "refused by the test"))
        elif command == "drop":
            drop()
        elif command == "hush":
            hush()
        else:
            raise SystemExit(f"no such command: {command}")
        say(f"done {command}")


main(sys.argv[1])
