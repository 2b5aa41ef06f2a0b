"""Myelin as its users run it: allowlist, metrics and audit trail on.

`phi` puts every permit durably on record before its first byte goes through.
"""
from . import Peer

IDENTITY = "identity: {{ files: {{ cert: {0}/{1}.crt, key: {0}/{1}.key, trust_bundle: {0}/ca.crt }} }}"


class Myelin(Peer):
    modes, version = ("l4", "l7"), ("--version",)
    install = "cargo build --release"

    def __init__(self, name, binary, phi=False):
        super().__init__(binary)
        self.name, self.phi = name, phi

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
        conf = f"""version: 1
service: {side.name}
trust_domain: bench.test
{IDENTITY.format(side.certs, side.name)}
tls: {{ profile: modern, cipher_suites: [TLS13_AES_128_GCM_SHA256] }}
peers:
  server: {{ spiffe: "spiffe://bench.test/server" }}
  client: {{ spiffe: "spiffe://bench.test/client" }}
{listener}audit: {{ dir: {side.directory}/audit }}
admin: {{ listen: "127.0.0.1:{side.admin}" }}
runtime: {{ workers: {side.threads} }}
"""
        return [self.binary, "run", "--config", side.write("myelin.yaml", conf)]
