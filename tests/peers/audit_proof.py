"""An auditor with the specifications, hashlib and the package `cryptography`, and nothing of Myelin.

audit_proof.py PROOF VKEY [CHECKPOINT]      says "proven SEQUENCE ACTION", or "refused: WHY" and exits with 1

C2SP tlog-proof, tlog-checkpoint and signed-note; RFC 9162, 2.1.3.2 (the tree is that of RFC 6962).
"""

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Refused(Exception):
    pass


def need(fits, why):
    if not fits:
        raise Refused(why)


def verifier(vkey):
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    need(key[0] == 1 and len(key) == 33, "no Ed25519 key")
    expected = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    need(expected.hex() == key_id, "the key's id is not its own")
    return name, expected, Ed25519PublicKey.from_public_bytes(key[1:])


def opened(note, vkey):
    """The text of a signed note, once the key's signature was found good."""
    name, key_id, key = verifier(vkey)
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if (dash, signer, signature[:4]) == ("\u2014", name, key_id):
            try:
                key.verify(signature[4:], text.encode())
            except InvalidSignature:
                raise Refused("the signature is bad") from None
            return text
    raise Refused("the key has not signed the checkpoint")


def root(leaf, index, size, path):
    need(index < size, "no leaf of this tree")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        need(sn != 0, "the path is too long")
        if fn & 1 or fn == sn:
            r = hashlib.sha256(b"\x01" + p + r).digest()
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = hashlib.sha256(b"\x01" + r + p).digest()
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "the path is too short")
    return r


def check(proof, vkey, checkpoint):
    head, note = proof.split("\n\n", 1)
    header, extra, index, *path = head.split("\n")
    need(header == "c2sp.org/tlog-proof@v1", "no proof")
    need(extra.startswith("extra ") and index.startswith("index "), "no proof of a record")
    line = base64.b64decode(extra.removeprefix("extra "), validate=True)
    index = int(index.removeprefix("index "))
    text = opened(note, vkey)
    if checkpoint is not None:
        need(opened(checkpoint, vkey) == text, "it is another checkpoint")
    origin, size, expected = text.split("\n")[:3]
    need(origin == vkey.split("+")[0], "the origin is not the key's name")
    leaf = hashlib.sha256(b"\x00" + line).digest()
    path = [base64.b64decode(p, validate=True) for p in path]
    need(
        root(leaf, index, int(size), path) == base64.b64decode(expected, validate=True),
        "the record does not lead to the root",
    )
    event = json.loads(line)["event"]
    need(event["sequence"] == index + 1, "another record")
    return event


def main(proof, vkey, checkpoint=None):
    def read(name):
        with open(name, encoding="utf-8", newline="") as file:
            return file.read()

    try:
        event = check(read(proof), vkey, checkpoint and read(checkpoint))
    except (Refused, ValueError) as error:
        sys.exit(f"refused: {error}")
    print("proven", event["sequence"], event["action"])


if __name__ == "__main__":
    main(*sys.argv[1:])
