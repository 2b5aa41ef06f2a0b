#!/usr/bin/env python3
"""Reads examples/terraform with python-hcl2 and tells what is in it, as JSON.

    terraform_peer.py DIR OUT

Every file must parse, every variable must have a type and a description, and be used; a secret one must be ephemeral. The
cloud-init template is filled in with values of no meaning and written to OUT/cloud-init.yaml, and the files that it writes
beside it, by their last names.
"""

import json
import pathlib
import re
import sys

import hcl2
import yaml

where, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
files = sorted(where.glob("*.tf"))
parsed = {file.name: hcl2.loads(file.read_text()) for file in files}
text = "\n".join(file.read_text() for file in files)


def bare(name: str) -> str:
    """Some versions keep the quotes."""
    return name.strip('"')


variables = {
    bare(name): body
    for content in parsed.values()
    for block in content.get("variable", [])
    for name, body in block.items()
}
for name, body in variables.items():
    assert "type" in body and "description" in body, f"{name} has no type or no description"
    assert f"var.{name}" in text, f"{name} is not used"
assert set(re.findall(r"\bvar\.(\w+)", text)) <= set(variables), "a variable is used that is not declared"
ephemeral = [name for name, body in variables.items() if body.get("ephemeral") is True]
uses = [line.split("=")[0].strip() for line in text.splitlines() if re.search(r"\bvar\.join_token\b", line)]

template = (where / "cloud-init.yaml.tftpl").read_text()
given = set(re.findall(r"^    (\w+) += ", text[text.index("templatefile(") :].split("}))")[0], re.M))
wanted = set(re.findall(r"\$\{(\w+)\}", template))
assert given == wanted, f"the template wants {sorted(wanted)} and is given {sorted(given)}"
values = {
    "service": "ehr",
    "trust_domain": "hospital.example",
    "peer": "billing",
    "est_url": "https://ca.hospital.example:8444/.well-known/est",
    "est_fingerprint": "sha256:" + "9f" * 32,
    "package_url": "https://packages.hospital.example/myelin.deb",
    "package_sha256": "9f" * 32,
    "token_url": "https://vault.example/secrets/ehr",
    "client_id": "00000000-0000-0000-0000-000000000000",
}
filled = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], template)
(out / "cloud-init.yaml").write_text(filled)
for written in yaml.safe_load(filled)["write_files"]:
    (out / pathlib.Path(written["path"]).name).write_text(written["content"])

print(json.dumps({"files": [file.name for file in files], "ephemeral": ephemeral, "token_in": uses}))
