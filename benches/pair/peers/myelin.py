"""Myelin as its users run it: allowlist, metrics and audit trail on.

`phi` puts every permit durably on record before its first byte goes through. `export` sends the trail of both sides to `sink.py`.
"""
import json
import os
import sys
import time
import urllib.request

from . import Peer

IDENTITY = "identity: {{ files: {{ cert: {0}/{1}.crt, key: {0}/{1}.key, trust_bundle: {0}/ca.crt }} }}"
SINK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sink.py")
EXPORTS = {
    "syslog": 'syslog: {{ address: "localhost:{0}", format: json }}',
    "fhir": 'fhir: {{ url: "https://localhost:{0}/fhir/AuditEvent" }}',
    "otlp": 'otlp: {{ endpoint: "https://localhost:{0}", protocol: http }}',
}


class Myelin(Peer):
    modes, version = ("l4", "l7"), ("--version",)
    install = "cargo build --release"

    def __init__(self, name, binary, phi=False, export=None):
        super().__init__(binary)
        self.name, self.phi, self.export = name, phi, export
        self.by_name = export is not None

    def receiver(self, certs, port):
        return self.export and [sys.executable, SINK, self.export, str(port), f"{certs}/sink.crt", f"{certs}/sink.key"]

    def settle(self, pair):
        if not self.export:
            return None
        begun = time.monotonic()
        while any(self.behind(side) for side in pair.sides.values()):
            if time.monotonic() > begun + 60:
                raise RuntimeError("the export does not come to an end")
            time.sleep(0.05)
        return time.monotonic() - begun

    def behind(self, side):
        with urllib.request.urlopen(f"http://127.0.0.1:{side.admin}/status", timeout=5) as answer:
            [export] = json.load(answer)["audit"]["export"]
        if export["failing"]:
            raise RuntimeError(export["failing"]["why"])
        return export["lag_records"] > 5        # checkpoints and the like go on

    def start(self, side):
        protocol = "tcp" if side.mode == "l4" else "http"
        phi = str(self.phi).lower()
        if side.role == "egress":
            listener = f"""outbound:
  - name: pair
    listen: 127.0.0.1:{side.listen}
    to: ["127.0.0.1:{side.connect}"]
    expect: [server]
    protocol: {protocol}
    phi: {phi}
"""
        else:
            routes = """    routes:
      - { name: everything, methods: [GET], path: "/{rest...}", allow: [client] }
""" if side.mode == "l7" else ""
            listener = f"""inbound:
  - name: pair
    listen: 127.0.0.1:{side.listen}
    forward: 127.0.0.1:{side.connect}
    protocol: {protocol}
    phi: {phi}
    allow: [client]
{routes}"""
        export = f", export: [{{ {EXPORTS[self.export].format(side.sink)} }}]" if self.export else ""
        conf = f"""version: 1
service: {side.name}
trust_domain: bench.test
{IDENTITY.format(side.certs, side.name)}
tls: {{ profile: modern, cipher_suites: [TLS13_AES_128_GCM_SHA256] }}
peers:
  server: {{ spiffe: "spiffe://bench.test/server" }}
  client: {{ spiffe: "spiffe://bench.test/client" }}
{listener}audit: {{ dir: {side.directory}/audit{export} }}
admin: {{ listen: "127.0.0.1:{side.admin}" }}
runtime: {{ workers: {side.threads} }}
"""
        return [self.binary, "run", "--config", side.write("myelin.yaml", conf)]
