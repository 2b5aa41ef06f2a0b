"""A receiver of OpenTelemetry logs, by the published protobuf of OpenTelemetry, over mutual TLS.

otlp_peer.py grpc|http PORT DIR [MODE]   DIR has tls.crt, tls.key and ca.crt; says "listening PORT" (0: the kernel
                                         chooses), and for each record "record JSON"
MODE: `partial` rejects one record of the first request by its partial success, `busy` is unavailable for the first three requests,
`token` takes only who says "authorization: Bearer s3cret", `none` rejects all records by its partial success; of HTTP alone
`elsewhere` sends each request to another path and says "asked PATH" for it, `flood` answers with 5 MiB
"""

import json
import pathlib
import ssl
import sys
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as stubs

PROTOCOL, PORT, DIR = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
MODE = sys.argv[4] if len(sys.argv) > 4 else ""
asked = 0


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
                print("record", json.dumps(told), flush=True)
                count += 1
    answer = service.ExportLogsServiceResponse()
    if MODE == "partial" and asked == 1:
        answer.partial_success.rejected_log_records = 1
        answer.partial_success.error_message = "one is too old"
    if MODE == "none":
        answer.partial_success.rejected_log_records = count
        answer.partial_success.error_message = "there is no room"
    return answer


def is_busy():
    global asked
    asked += 1
    return MODE == "busy" and asked <= 3


def may(headers):
    return MODE != "token" or headers.get("authorization") == "Bearer s3cret"


class Grpc(stubs.LogsServiceServicer):
    def Export(self, request, context):
        if is_busy():
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        if not may(dict(context.invocation_metadata())):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        return take(request)


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fits = self.path == "/v1/logs" and self.headers["Content-Type"] == "application/x-protobuf"
        if is_busy():
            return self.say(503, b"")
        if MODE == "elsewhere":
            print("asked", json.dumps(self.path), flush=True)
            return self.say(307, b"", {"Location": "/elsewhere"})
        if MODE == "flood":
            return self.say(200, bytes(5 << 20))
        if not fits or not may(self.headers):
            return self.say(404 if not fits else 401, b"")
        self.say(200, take(service.ExportLogsServiceRequest.FromString(body)).SerializeToString())

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
