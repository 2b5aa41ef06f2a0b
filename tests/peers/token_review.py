"""The one part of a Kubernetes API server that OpenBao's login asks: is this a service account's token?

token_review.py NAMESPACE NAME   says "token JWT", then "listening PORT" on a port that the kernel chooses
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

NAMESPACE, NAME = sys.argv[1:]
USER = f"system:serviceaccount:{NAMESPACE}:{NAME}"
AUDIENCES = ["https://kubernetes.default.svc.cluster.local"]
UID = "5f6a1c52-0000-4000-8000-000000000001"


def part(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def token():
    claims = {
        "iss": AUDIENCES[0],
        "aud": AUDIENCES,
        "sub": USER,
        "iat": 1500000000,
        "nbf": 1500000000,
        "exp": 4102444800,
        "kubernetes.io": {"namespace": NAMESPACE, "serviceaccount": {"name": NAME, "uid": UID}},
    }
    head = {"alg": "RS256", "typ": "JWT", "kid": "test"}
    # Nobody but this server looks at the signature.
    return ".".join(part(json.dumps(it).encode()) for it in (head, claims)) + "." + part(b"signed" * 43)


TOKEN = token()


class TokenReview(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        right = self.path == "/apis/authentication.k8s.io/v1/tokenreviews"
        good = right and asked["spec"]["token"] == TOKEN
        user = {"username": USER, "uid": UID, "groups": ["system:serviceaccounts"]}
        status = {"authenticated": True, "user": user, "audiences": AUDIENCES} if good else {"authenticated": False}
        answer = json.dumps({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status})
        self.send_response(201 if right else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), TokenReview)
print("token", TOKEN, flush=True)
print("listening", server.server_port, flush=True)
server.serve_forever()
