"""An EST server (RFC 7030) out of Python's standard library and the openssl program.

    est_peer.py DIR [PORT]

Makes its authority in DIR, unless that is there: root.crt, issuing.crt, server.crt. Issues for a token that
is a line of DIR/tokens, once, and renews for the certificate that it issued, if the request bears the same
names. Each request is a line of DIR/asked. What a file DIR/behaviour says is done instead:

    lasts SECONDS      certificates are so short-lived
    approve COUNT      so many requests are answered by 202 first
    retry SECONDS      what Retry-After says then
    status CODE        every enrolment is answered so
    body NAME          enrolments are answered with the file DIR/NAME, as it is
    cacerts NAME       the same for /cacerts
    other-key          issues over a key of its own
    root-too           /simpleenroll sends issuing.crt and root.crt along
    slow               /cacerts never ends
    endless            /cacerts never ends, either, and is never silent
    redirect URL       /cacerts is elsewhere

Revocation lists are served in plain HTTP on the second port: GET /NAME is the file DIR/NAME.
"""

import base64
import datetime
import http.server
import os
import pathlib
import ssl
import subprocess
import sys
import threading
import time

directory = pathlib.Path(sys.argv[1])
issuing = threading.Lock()

CONFIG = """
[ca]
default_ca=own
[own]
database=index.txt
serial=serial
crlnumber=crlnumber
new_certs_dir=.
default_md=sha256
default_crl_days=7
policy=any
copy_extensions=copy
unique_subject=no
x509_extensions=leaf
certificate=issuing.crt
private_key=issuing.key
[any]
countryName=optional
organizationName=optional
organizationalUnitName=optional
commonName=optional
[leaf]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
authorityKeyIdentifier=keyid
[authority]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[server]
basicConstraints=critical,CA:FALSE
extendedKeyUsage=serverAuth
subjectAltName=IP:127.0.0.1,DNS:localhost
"""


def openssl(*words, text=True):
    done = subprocess.run(["openssl", *words], cwd=directory, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {words}: {done.stderr.decode()}")
    return done.stdout.decode() if text else done.stdout


def make_authority():
    (directory / "ca.cnf").write_text(CONFIG)
    for name, content in [("index.txt", ""), ("serial", "1000\n"), ("crlnumber", "01\n"), ("tokens", "")]:
        (directory / name).touch() if not content else (directory / name).write_text(content)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "ca.cnf"]
    (directory / "ca.cnf").write_text(CONFIG + "[req]\ndistinguished_name=name\n[name]\n")
    openssl("req", "-x509", *key, "-keyout", "root.key", "-out", "root.crt", "-days", "3650",
            "-subj", "/O=Clinic/CN=root", "-extensions", "authority")
    for name, issuer, section in [("issuing", "root", "authority"), ("server", "issuing", "server")]:
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/O=Clinic/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key",
                "-CAcreateserial", "-days", "2000", "-extfile", "ca.cnf", "-extensions", section,
                "-out", f"{name}.crt")
    chain = [(directory / f"{name}.crt").read_text() for name in ("server", "issuing", "root")]
    (directory / "server.chain").write_text("".join(chain))


def behaviour():
    try:
        lines = (directory / "behaviour").read_text().splitlines()
    except FileNotFoundError:
        lines = []
    return {word: rest for word, _, rest in (line.partition(" ") for line in lines)}


def names(*words):
    """Subject and alternative names as openssl prints them."""
    text = [line.strip() for line in openssl(*words, "-noout", "-text").splitlines()]
    kept = [line for line in text if line.startswith("Subject:")]
    return kept + [text[at + 1] for at, line in enumerate(text) if "Alternative Name" in line]


def issue(request, lasts):
    """The certificate over a request, in PEM; the caller holds the lock."""
    (directory / "request.der").write_bytes(request)
    openssl("req", "-inform", "DER", "-in", "request.der", "-verify", "-noout")
    openssl("req", "-inform", "DER", "-in", "request.der", "-out", "request.pem")
    now = datetime.datetime.now(datetime.timezone.utc)
    moment = lambda at: at.strftime("%y%m%d%H%M%SZ")
    openssl("ca", "-batch", "-config", "ca.cnf", "-in", "request.pem", "-out", "issued.crt", "-notext",
            "-startdate", moment(now - datetime.timedelta(seconds=60)),
            "-enddate", moment(now + datetime.timedelta(seconds=lasts)))
    return (directory / "issued.crt").read_text()


def pkcs7(*files):
    words = [word for name in files for word in ("-certfile", name)]
    return base64.encodebytes(openssl("crl2pkcs7", "-nocrl", *words, "-outform", "DER", text=False))


class Est(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_words):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def asked(self, who):
        with issuing, (directory / "asked").open("a") as asked:
            asked.write(f"{self.path} {who}\n")

    def client(self):
        """The certificate that the client has proven to hold, DER."""
        return self.connection.getpeercert(binary_form=True)

    def do_GET(self):
        self.asked("-")
        done = behaviour()
        if self.path != "/.well-known/est/cacerts" and "/label" not in self.path:
            self.answer(404)
        elif "slow" in done:
            self.send_response(200)
            self.end_headers()
            while not self.wfile.closed and behaviour().get("slow") is not None:
                time.sleep(0.05)
        elif "endless" in done:
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"MIIB" * 65536)
        elif "redirect" in done:
            self.answer(302, Location=done["redirect"])
        elif "cacerts" in done:
            self.answer(200, (directory / done["cacerts"]).read_bytes())
        else:
            self.answer(200, pkcs7("issuing.crt", "root.crt"), Content_Type="application/pkcs7-mime")

    def do_POST(self):
        request = base64.b64decode(self.rfile.read(int(self.headers["Content-Length"])))
        done = behaviour()
        if self.path.endswith("/simpleenroll"):
            user = self.token_of()
            self.asked(f"token of {user}" if user else "nobody")
            if user is None:
                return self.answer(401, WWW_Authenticate='Basic realm="est"')
        elif self.path.endswith("/simplereenroll"):
            client = self.client()
            self.asked("certificate" if client else "nobody")
            if client is None:
                return self.answer(401)
            with issuing:
                (directory / "client.der").write_bytes(client)
                (directory / "asking.der").write_bytes(request)
                has = names("x509", "-inform", "DER", "-in", "client.der")
                wants = names("req", "-inform", "DER", "-in", "asking.der")
            if has != wants:
                return self.answer(400, f"{has} is not {wants}".encode())
        else:
            return self.answer(404)
        if int(done.get("approve", 0)) > 0:
            with issuing:
                lines = {**done, "approve": str(int(done["approve"]) - 1)}
                text = "".join(f"{word} {rest}\n" for word, rest in lines.items())
                (directory / "behaviour").write_text(text)
                with (directory / "undecided").open("ab") as undecided:
                    undecided.write(base64.b64encode(request) + b"\n")
            return self.answer(202, Retry_After=done.get("retry", "1"))
        if "status" in done:
            return self.answer(int(done["status"]))
        if "body" in done:
            return self.answer(200, (directory / done["body"]).read_bytes())
        with issuing:
            if "other-key" in done:
                openssl("req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "other.key", "-subj", "/CN=ehr",
                        "-config", "ca.cnf", "-outform", "DER", "-out", "other.der")
                request = (directory / "other.der").read_bytes()
            try:
                issue(request, int(done.get("lasts", 3600)))
            except RuntimeError as error:
                return self.answer(400, str(error).encode())
            along = ("issuing.crt", "root.crt") if "root-too" in done else ()
            body = pkcs7("issued.crt", *along)
        self.answer(200, body, Content_Type="application/pkcs7-mime; smime-type=certs-only")

    def token_of(self):
        """Whose token this is; it is used up by that."""
        kind, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if kind != "Basic":
            return None
        user, _, token = base64.b64decode(credentials).decode().partition(":")
        with issuing:
            tokens = (directory / "tokens").read_text().splitlines()
            if token not in tokens:
                return None
            if behaviour().get("approve", "0") == "0":
                tokens.remove(token)
                (directory / "tokens").write_text("".join(f"{token}\n" for token in tokens))
        return user


class Lists(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_words):
        pass

    def do_GET(self):
        with issuing, (directory / "asked").open("a") as asked:
            asked.write(f"{self.path} {self.headers.get('If-None-Match', '-')}\n")
        path = directory / self.path.lstrip("/")
        body = path.read_bytes() if path.exists() else b""
        tag = f'"{hash(body)}"'
        status = 404 if not body else 304 if self.headers.get("If-None-Match") == tag else 200
        self.send_response(status)
        self.send_header("ETag", tag)
        self.end_headers()
        if status == 200:
            self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address, handler, tls=None):
        self.tls = tls
        super().__init__(address, handler)

    def finish_request(self, request, client_address):
        # Here, and not in accept: this is the thread of the one connection.
        try:
            request.settimeout(20)
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
            if self.tls:
                request.unwrap()
        except (OSError, ValueError):
            pass

    def handle_error(self, request, client_address):
        pass


if __name__ == "__main__":
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "server.chain").exists():
        make_authority()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "server.chain", directory / "server.key")
    tls.load_verify_locations(directory / "root.crt")
    tls.load_verify_locations(directory / "issuing.crt")
    tls.verify_mode = ssl.CERT_OPTIONAL
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    plain_port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    est = Server(("127.0.0.1", port), Est, tls)
    lists = Server(("127.0.0.1", plain_port), Lists)
    threading.Thread(target=lists.serve_forever, daemon=True).start()
    print(f"listening {est.server_address[1]} lists {lists.server_address[1]}", flush=True)
    est.serve_forever()
