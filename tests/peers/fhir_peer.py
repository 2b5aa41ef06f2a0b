"""A FHIR service as small as they come, and fhirpy as its client.

fhir_peer.py server           listens on a port that the kernel chooses, and says "listening PORT"
fhir_peer.py client PORT      searches, reads and creates; says what came of it
fhir_peer.py reaches PORT     asks for another type with a search, in three ways; says "denied" for each
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENT = {"resourceType": "Patient", "id": "PQ4711", "name": [{"family": "Meier"}]}


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        print("asked", self.path.split("?")[0], flush=True)
        if self.path.startswith("/fhir/Patient/"):
            self.say(200, PATIENT)
        else:
            entry = [{"resource": PATIENT}]
            self.say(200, {"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": entry})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.say(201, PATIENT)

    def say(self, status, resource):
        body = json.dumps(resource).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    print("listening", server.server_port, flush=True)
    server.serve_forever()


def base(port):
    from fhirpy import SyncFHIRClient

    return SyncFHIRClient(f"http://127.0.0.1:{port}/fhir")


def call(client):
    patients = client.resources("Patient")
    found = patients.search(family="Meier", birthdate__ge="1970-01-01").sort("-birthdate").limit(5).fetch()
    print("found", found[0]["name"][0]["family"], flush=True)
    print("read", patients.search(_id="PQ4711").first()["id"] == "PQ4711", flush=True)
    chained = patients.search(organization__Organization__name="Clinic").elements("name").fetch()
    print("chained", len(chained), flush=True)
    patient = client.resource("Patient", name=[{"family": "Meier"}])
    patient.save()
    print("created", patient.id == "PQ4711", flush=True)


def reach(client):
    from fhirpy.base.exceptions import BaseFHIRError

    patients = client.resources("Patient")
    for search in (
        patients.revinclude("Observation", "subject"),
        patients.has("Observation", "patient", code="1234-5"),
        patients.search(general_practitioner__Practitioner__name="Meier"),
    ):
        try:
            search.fetch()
            raise AssertionError("let through")
        except BaseFHIRError as error:
            print("denied", str(error).strip(), flush=True)


def main(what, port=None):
    if what == "server":
        serve()
    elif what == "client":
        call(base(port))
    else:
        reach(base(port))


main(*sys.argv[1:])
