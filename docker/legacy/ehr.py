"""The record system: FHIR in plain HTTP. It has never heard of TLS.

ehr.py [ADDRESS]     the address to listen on, port 8080; default 127.0.0.1
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENTS = {
    "42": {
        "resourceType": "Patient",
        "id": "42",
        "identifier": [{"system": "urn:oid:2.999.1", "value": "MRN-4711-0815"}],
        "name": [{"family": "Mustermann", "given": ["Erika"]}],
        "birthDate": "1970-01-01",
    }
}


class Fhir(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, number = self.path.removeprefix("/fhir/").partition("/")
        patient = PATIENTS.get(number) if kind == "Patient" else None
        if patient is None:
            self.answer(404, {"resourceType": "OperationOutcome"})
        else:
            self.answer(200, patient)

    def answer(self, status, resource):
        body = json.dumps(resource).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    ThreadingHTTPServer((address, 8080), Fhir).serve_forever()
