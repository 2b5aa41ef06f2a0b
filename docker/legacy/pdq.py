"""Asks the patient registry, by SOAP 1.2 in plain HTTP, how somebody is insured.

pdq.py URL FAMILY     prints the number
"""

import sys
import urllib.request
import xml.etree.ElementTree as ET

SOAP = "http://www.w3.org/2003/05/soap-envelope"
HL7 = "urn:hl7-org:v3"
ENVELOPE = (
    f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{SOAP}"><s:Body>'
    f'<{{kind}} xmlns="{HL7}">{{content}}</{{kind}}></s:Body></s:Envelope>'
)


def insurance(url, family):
    body = ENVELOPE.format(kind="PRPA_IN201305UV02", content=f"<family>{family}</family>")
    kind = f'application/soap+xml; charset=utf-8; action="{HL7}:PRPA_IN201305UV02"'
    request = urllib.request.Request(url, body.encode(), {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return ET.parse(answer).findtext(f".//{{{HL7}}}insurance")


if __name__ == "__main__":
    print(insurance(*sys.argv[1:]))
