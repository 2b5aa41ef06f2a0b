"""A receiver of OpenTelemetry logs and traces, by the published protobuf of OpenTelemetry, over mutual TLS.

otlp_peer.py grpc|http PORT DIR [MODE]   DIR has tls.crt, tls.key and ca.crt; says "listening PORT" (0: the kernel
                                         chooses), for each record "record JSON", and for each span "span JSON", in which
                                         `unknown` has what OpenTelemetry's semantic conventions do not know
MODE: `partial` rejects one record or span of the first request by its partial success, `busy` is unavailable for the first three requests,
`token` takes only who says "authorization: Bearer s3cret", `none` rejects all records by its partial success; of HTTP alone
`elsewhere` sends each request to another path and says "asked PATH" for it, `flood` answers with 5 MiB
"""

import importlib
import json
import pathlib
import pkgutil
import ssl
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as stubs
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_stubs
from opentelemetry.semconv import attributes, schemas
from opentelemetry.semconv._incubating import attributes as incubating

PROTOCOL, PORT, DIR = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
MODE = sys.argv[4] if len(sys.argv) > 4 else ""
asked = 0
voice = threading.Lock()


def say(word, told):
    """In one line, whoever else has something to say."""
    with voice:
        print(word, json.dumps(told), flush=True)


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return {item.key: plain(item.value) for item in value.kvlist_value.values}
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def pairs(attributes):
    return {item.key: plain(item.value) for item in attributes}


def take(request):
    """Says what came; what is to be answered."""
    count = 0
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                told = {
                    "resource": pairs(resource.resource.attributes),
                    "scope": scope.scope.name,
                    "time": record.time_unix_nano,
                    "severity": [record.severity_number, record.severity_text],
                    "event": record.event_name,
                    "attributes": pairs(record.attributes),
                    "body": plain(record.body),
                }
                say("record", told)
                count += 1
    return answered(service.ExportLogsServiceResponse(), "rejected_log_records", count)


def answered(answer, rejected, count):
    """Takes all, unless it is to leave some out."""
    if MODE == "partial" and asked == 1:
        setattr(answer.partial_success, rejected, 1)
        answer.partial_success.error_message = "one is too old"
    if MODE == "none":
        setattr(answer.partial_success, rejected, count)
        answer.partial_success.error_message = "there is no room"
    return answer


def conventional():
    """All names of attributes that there are."""
    names = set()
    for package in attributes, incubating:
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            values = vars(importlib.import_module(module.name)).items()
            names |= {value for name, value in values if name.isupper() and isinstance(value, str)}
    return names


NAMES, SCHEMAS = conventional(), {schema.value for schema in schemas.Schemas}


def take_spans(request):
    count = 0
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                told = pairs(span.attributes)
                unknown = [name for name in told if name not in NAMES and not name.startswith("myelin.")]
                unknown += [scope.schema_url] if scope.schema_url not in SCHEMAS else []
                says = {
                    "resource": pairs(resource.resource.attributes),
                    "scope": scope.scope.name,
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "state": span.trace_state,
                    "name": span.name,
                    "kind": span.kind,
                    "from": span.start_time_unix_nano,
                    "to": span.end_time_unix_nano,
                    "attributes": told,
                    "events": [[event.name, pairs(event.attributes)] for event in span.events],
                    "status": span.status.code,
                    "remote": bool(span.flags & 0x200),
                    "unknown": unknown,
                }
                say("span", says)
                count += 1
    return answered(trace_service.ExportTraceServiceResponse(), "rejected_spans", count)


def is_busy():
    global asked
    asked += 1
    return MODE == "busy" and asked <= 3


def may(headers):
    return MODE != "token" or headers.get("authorization") == "Bearer s3cret"


def welcome(context):
    if is_busy():
        context.abort(grpc.StatusCode.UNAVAILABLE, "later")
    if not may(dict(context.invocation_metadata())):
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")


class Grpc(stubs.LogsServiceServicer):
    def Export(self, request, context):
        welcome(context)
        return take(request)


class GrpcTraces(trace_stubs.TraceServiceServicer):
    def Export(self, request, context):
        welcome(context)
        return take_spans(request)


TAKERS = {
    "/v1/logs": (service.ExportLogsServiceRequest, take),
    "/v1/traces": (trace_service.ExportTraceServiceRequest, take_spans),
}


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fits = self.path in TAKERS and self.headers["Content-Type"] == "application/x-protobuf"
        if is_busy():
            return self.say(503, b"")
        if MODE == "elsewhere":
            say("asked", self.path)
            return self.say(307, b"", {"Location": "/elsewhere"})
        if MODE == "flood":
            return self.say(200, bytes(5 << 20))
        if not fits or not may(self.headers):
            return self.say(404 if not fits else 401, b"")
        message, taker = TAKERS[self.path]
        self.say(200, taker(message.FromString(body)).SerializeToString())

    def say(self, status, body, headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def by_grpc():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    stubs.add_LogsServiceServicer_to_server(Grpc(), server)
    trace_stubs.add_TraceServiceServicer_to_server(GrpcTraces(), server)
    pair = (DIR / "tls.key").read_bytes(), (DIR / "tls.crt").read_bytes()
    credentials = grpc.ssl_server_credentials([pair], (DIR / "ca.crt").read_bytes(), require_client_auth=True)
    port = server.add_secure_port(f"127.0.0.1:{PORT}", credentials)
    server.start()
    print("listening", port, flush=True)
    server.wait_for_termination()


def by_http():
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Http)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DIR / "tls.crt", DIR / "tls.key")
    context.load_verify_locations(DIR / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening", server.server_port, flush=True)
    server.serve_forever()


by_grpc() if PROTOCOL == "grpc" else by_http()
