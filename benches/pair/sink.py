"""A receiver of audit trails that takes everything over TLS and keeps nothing, so that what an export costs is the sidecar's.

sink.py syslog|fhir|otlp PORT CERT KEY
"""
import socketserver
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Syslog(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while self.request.recv(65536):
                pass
            self.request.unwrap()       # an end in order, which confirms what came before
        except OSError:
            pass


class Http(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer, kind = b"", self.headers["Content-Type"]
        if kind == "application/fhir+json":
            entries = [b'{"response":{"status":"201"}}'] * body.count(b'"request":{"method":"POST"')
            answer = b'{"resourceType":"Bundle","type":"batch-response","entry":[' + b",".join(entries) + b"]}"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Lines(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


def main(kind, port, cert, key):
    address = ("127.0.0.1", int(port))
    server = Lines(address, Syslog) if kind == "syslog" else ThreadingHTTPServer(address, Http)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


main(*sys.argv[1:])
