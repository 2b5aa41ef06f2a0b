"""The patient registry: SOAP in plain HTTP. It finds who is insured how (IHE ITI-47, cut down to what a demonstration needs).

registry.py [ADDRESS]     the address to listen on, port 8081; default 127.0.0.1
"""

import sys
import xml.etree.ElementTree as ET
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pdq import ENVELOPE, HL7, SOAP

INSURED = {"Mustermann": "K123456789"}


class Registry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        question = ET.fromstring(self.rfile.read(int(self.headers["Content-Length"])))
        family = question.findtext(f"{{{SOAP}}}Body/{{{HL7}}}PRPA_IN201305UV02/{{{HL7}}}family")
        answer = ENVELOPE.format(
            kind="PRPA_IN201306UV02",
            content=f"<family>{family}</family><insurance>{INSURED.get(family, '')}</insurance>",
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/soap+xml; charset=utf-8")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    ThreadingHTTPServer((address, 8081), Registry).serve_forever()
