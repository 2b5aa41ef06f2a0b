"""A gRPC service and its client, without TLS and without generated code: messages are plain bytes.

grpc_peer.py server        listens on a port that the kernel chooses, and says "listening PORT"
grpc_peer.py client PORT   makes every kind of call, and says "all calls answered"
grpc_peer.py ask PORT NAME makes one call, and says "CODE ID", the id being the request's in the answer
"""

import sys
import threading
from concurrent import futures

import grpc

SERVICE = "lab.Results"
BIG = bytes(range(256)) * 8192  # 2 MiB: many frames, more than a stream's window


def one(request, context):
    told = dict(context.invocation_metadata()).get("x-forwarded-client-cert", "")
    context.set_trailing_metadata((("sum", str(len(request))), ("peer", told)))
    return b"one:" + request


def down(request, context):
    for n in range(int(request)):
        yield b"%d" % n


def up(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def both(requests, context):
    for request in requests:
        yield b"echo:" + request


def fail(request, context):
    context.set_trailing_metadata((("why", "because"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not \u00fctterly ready")


def fail_late(request, context):
    yield b"first"
    context.abort(grpc.StatusCode.DATA_LOSS, "the rest is gone")


def wait(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait(20)
    print("cancelled" if not context.is_active() else "not cancelled", flush=True)
    return b""


def serve():
    handlers = {
        "One": grpc.unary_unary_rpc_method_handler(one),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
        "Wait": grpc.unary_unary_rpc_method_handler(wait),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=20))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("listening", port, flush=True)
    server.wait_for_termination()


def status(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call did not fail")


def call(port):
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    path = lambda name: f"/{SERVICE}/{name}"

    answer, done = channel.unary_unary(path("One")).with_call(b"hello", timeout=15)
    trailers = dict(done.trailing_metadata())
    assert answer == b"one:hello", answer
    assert trailers["sum"] == "5", trailers
    assert "URI=spiffe://hospital.example/web" in trailers["peer"], trailers

    assert channel.unary_unary(path("One"))(BIG, timeout=15) == b"one:" + BIG
    assert list(channel.unary_stream(path("Down"))(b"100", timeout=15)) == [b"%d" % n for n in range(100)]
    assert channel.stream_unary(path("Up"))(iter([b"abc"] * 100), timeout=15) == b"300"

    # Each message is sent only after the answer to the one before it has come.
    turn = threading.Semaphore(1)
    def requests():
        for n in range(10):
            turn.acquire()
            yield b"%d" % n
    answers = []
    for answer in channel.stream_stream(path("Both"))(requests(), timeout=15):
        answers.append(answer)
        turn.release()
    assert answers == [b"echo:%d" % n for n in range(10)], answers

    error = status(lambda: channel.unary_unary(path("Fail"))(b"", timeout=15))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert error.details() == "not \u00fctterly ready", error
    assert dict(error.trailing_metadata())["why"] == "because", error

    received = []
    error = status(lambda: received.extend(channel.unary_stream(path("FailLate"))(b"", timeout=15)))
    assert error.code() == grpc.StatusCode.DATA_LOSS, error

    error = status(lambda: channel.unary_unary(path("Nowhere"))(b"", timeout=15))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

    error = status(lambda: channel.unary_unary(path("Wait"))(b"", timeout=0.5))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error

    many = [channel.unary_unary(path("One")).future(b"%d" % n, timeout=15) for n in range(200)]
    assert [one.result() for one in many] == [b"one:%d" % n for n in range(200)]
    print("all calls answered", flush=True)


def ask(port, name):
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    try:
        _, done = channel.unary_unary(f"/{SERVICE}/{name}").with_call(b"hello", timeout=15)
        code, told = done.code(), done.trailing_metadata()
    except grpc.RpcError as error:
        # An answer that is nothing but trailers: gRPC has them all in one place.
        code, told = error.code(), [*error.initial_metadata(), *error.trailing_metadata()]
    print(code.name, dict(told).get("x-request-id", "-"), flush=True)


if sys.argv[1] == "server":
    serve()
elif sys.argv[1] == "ask":
    ask(*sys.argv[2:])
else:
    call(sys.argv[2])
