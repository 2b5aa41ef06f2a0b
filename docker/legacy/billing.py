"""Billing: makes an invoice from what the record system and the patient registry know.

It asks both in plain HTTP on its own loopback, where its sidecar listens, and has never heard of TLS.
"""

import json
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pdq import insurance

EHR = "http://127.0.0.1:9001/fhir/Patient/42"
REGISTRY = "http://127.0.0.1:9002/pdq"


def invoice():
    with urllib.request.urlopen(EHR, timeout=10) as answer:
        patient = json.load(answer)
    number = insurance(REGISTRY, patient["name"][0]["family"])
    return {"invoice": "2026-1042", "total": "118.40 EUR", "insurance": number, "for": patient}


class Billing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            status, page = (200, invoice()) if self.path == "/invoice" else (404, {})
        except OSError as problem:
            status, page = 502, {"problem": str(problem)}
        body = json.dumps(page).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8080), Billing).serve_forever()
