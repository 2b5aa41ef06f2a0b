"""Holds records in other forms against programs that nobody here wrote.

forms_peer.py FORM    reads records of that form from standard input; says "valid COUNT", and for some forms what it read
"""

import csv
import io
import json
import pathlib
import sys

SCHEMAS = pathlib.Path(__file__).parent / "schemas"


def lines():
    return sys.stdin.buffer.read().decode("utf-8").splitlines()


def atna():
    """By the RELAX NG of the standard and the XML Schema of IPF, with libxml2."""
    import rnc2rng
    from lxml import etree

    grammar = rnc2rng.dumps(rnc2rng.load(str(SCHEMAS / "dicom-ps3.15-audit.rnc")))
    schemas = [
        etree.RelaxNG(etree.fromstring(grammar.encode())),
        etree.XMLSchema(etree.parse(str(SCHEMAS / "dicom2017c.xsd"))),
    ]
    count = 0
    for line in lines():
        message = etree.fromstring(line.encode())
        for schema in schemas:
            if not schema.validate(message):
                sys.exit(f"{schema.error_log}\n{line}")
        count += 1
    print("valid", count)


def fhir():
    """By fhirkit (R4) and fhir.resources (R4B, in which an AuditEvent has the same elements)."""
    import fhirkit
    from fhir.resources.R4B.auditevent import AuditEvent

    count = 0
    for line in lines():
        found = fhirkit.validate(line)
        wrong = found if isinstance(found, list) else getattr(found, "errors", [])
        if wrong:
            sys.exit(f"{wrong}\n{line}")
        AuditEvent.model_validate_json(line)
        count += 1
    print("valid", count)


def ocsf():
    """By the published schema of the class and the profiles that an event names."""
    import jsonschema
    import ocsf_json_schema

    names = {4001: "network_activity", 4002: "http_activity", 6002: "application_lifecycle"}
    schemas = ocsf_json_schema.OcsfJsonSchemaEmbedded(ocsf_json_schema.get_ocsf_schema("1.8.0"))
    validators = {}
    count = 0
    for line in lines():
        event = json.loads(line)
        kind = (names[event["class_uid"]], tuple(event["metadata"].get("profiles", [])))
        if kind not in validators:
            schema = schemas.get_class_schema(kind[0], list(kind[1]))
            validators[kind] = jsonschema.Draft202012Validator(schema)
        wrong = [error.message for error in validators[kind].iter_errors(event)]
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"], line
        if wrong:
            sys.exit(f"{wrong}\n{line}")
        count += 1
    print("valid", count)


def cef():
    """Parsed by pycef; keys and values as cefevent's dictionary of the standard has them."""
    import cefevent
    import pycef

    header = {"DeviceVendor", "DeviceProduct", "DeviceVersion", "DeviceEventClassID", "Name", "DeviceName",
              "Severity", "DeviceSeverity", "CEFVersion"}
    labels = {"rule": "cs1", "policy": "cs2", "operation": "cs3", "certificateSha256": "cs4", "connection": "cs5",
              "tlsVersion": "cs6", "status": "cn1", "durationMs": "cn2", "certificateSubject": "flexString1",
              "listener": "flexString2", "Source IPv6 Address": "c6a2", "Destination IPv6 Address": "c6a3"}
    count = 0
    for line in lines():
        read = pycef.parse(line)
        assert read is not None and read["CEFVersion"] == "0", line
        event = cefevent.CEFEvent(strict=True)
        numbers = ("rt", "start", "end", "cnt", "cn1", "cn2", "in", "out")
        for name, value in read.items():
            if name in header or (name == "outcome" and value in ("success", "failure")):
                continue  # eventOutcome is in the standard, not in cefevent's dictionary
            key = labels.get(name, name)
            # Of numbers cefevent takes 0 for none.
            event.set_field(key, max(1, int(value)) if key in numbers else value)
        print(json.dumps(read))
        count += 1
    print("valid", count)


def rows():
    """Read by Python's csv, strictly; says each row as an object."""
    text = io.StringIO(sys.stdin.buffer.read().decode("utf-8"), newline="")
    reader = csv.DictReader(text, strict=True)
    count = 0
    for row in reader:
        assert None not in row and None not in row.values(), row
        print(json.dumps(row))
        count += 1
    print("valid", count)


FORMS = {"atna": atna, "fhir": fhir, "ocsf": ocsf, "cef": cef, "csv": rows}
FORMS[sys.argv[1]]()
