"""What the ingress side of each pair negotiates with openssl, and whether strangers get a byte through.

openssl 3.0 has no X25519MLKEM768, so the group of a Myelin pair is not seen here.
"""
import re
import subprocess

import backend
from peers import SERVER_NAME, SUITE, Direct

REQUEST = f"GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\nConnection: close\r\n\r\n"


def table(bench, peers):
    print("| peer | mode | version | suite | group | refuses no certificate | refuses another authority's |")
    print("|---" * 7 + "|")
    for peer in (peer for peer in peers if not isinstance(peer, Direct)):
        for mode in peer.modes:
            print(f"| {peer.name} | {mode} | " + " | ".join(facts(bench, peer, mode)) + " |", flush=True)


def facts(bench, peer, mode):
    with bench.pair(peer, mode, backend.http) as pair:
        port = pair.sides["ingress"].port
        known = ask(bench, port, "client")
        found = [group(rf"{name}\s*:? (\S+)", known) for name in ("Protocol version", "Ciphersuite", "Server Temp Key")]
        if "200 OK" not in known:
            raise RuntimeError(f"{peer.name}: no answer to a known client: {known[-400:]}")
        refused = ["no!" if "200 OK" in ask(bench, port, name) else "yes" for name in (None, "stranger")]
    return found + refused


def group(pattern, text):
    match = re.search(pattern, text)
    return match[1].rstrip(",") if match else "?"


def ask(bench, port, name):
    """One request with the certificate of `name`, or none."""
    certificate = ["-cert", f"{bench.certs}/{name}.crt", "-key", f"{bench.certs}/{name}.key"] if name else []
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", SERVER_NAME, "-brief", "-ign_eof",
            "-ciphersuites", f"{SUITE}:TLS_AES_256_GCM_SHA384", *certificate]
    try:
        done = subprocess.run(argv, input=REQUEST, capture_output=True, text=True, timeout=5)
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace")
    return done.stdout + done.stderr
