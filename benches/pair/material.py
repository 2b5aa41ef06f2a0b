"""One P-256 authority and its leaves, the same files for every peer."""
import os
import subprocess

from peers import SERVER_NAME

LEAVES = {
    # file: (authority, DNS name, purpose)
    "client": ("ca", "egress.test", "clientAuth"),
    "server": ("ca", SERVER_NAME, "serverAuth"),
    "sink": ("ca", "localhost", "serverAuth"),
    "stranger": ("other-ca", "egress.test", "clientAuth"),
}


def make(directory):
    """Makes NAME.crt, NAME.key and NAME.pem (both) in `directory`, unless they are there."""
    if all(os.path.exists(f"{directory}/{name}.pem") for name in LEAVES):
        return
    os.makedirs(directory, exist_ok=True)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=directory, capture_output=True)

    def key(name):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")

    for ca in ("ca", "other-ca"):
        key(ca)
        openssl("req", "-x509", "-new", "-key", f"{ca}.key", "-days", "30", "-subj", f"/CN=bench {ca}", "-out", f"{ca}.crt",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for name, (ca, dns, purpose) in LEAVES.items():
        key(name)
        with open(f"{directory}/{name}.ext", "w") as file:
            file.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                       f"extendedKeyUsage={purpose}\nsubjectAltName=DNS:{dns},URI:spiffe://bench.test/{name}\n")
        openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial",
                "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.crt")
        with open(f"{directory}/{name}.pem", "w") as file:
            for part in ("crt", "key"):
                with open(f"{directory}/{name}.{part}") as source:
                    file.write(source.read())
