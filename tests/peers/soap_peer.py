"""A legacy SOAP service that is picky as legacy services are, and zeep as its client.

soap_peer.py server [PORT]      listens there, or on a port that the kernel chooses, and says "listening PORT"
soap_peer.py client PORT        reads the WSDL, calls the operation, and says "found Meier"
soap_peer.py client12 PORT      the same in SOAP 1.2
soap_peer.py addressing PORT    the same in SOAP 1.2 with WS-Addressing
soap_peer.py other PORT         calls another operation than it claims to, and says "denied 403"
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ACTION = "urn:hl7-org:v3:PRPA_IN201305UV02"
NAMESPACE = "urn:hospital:pdq"

SOAP = {"11": "http://schemas.xmlsoap.org/soap/envelope/", "12": "http://www.w3.org/2003/05/soap-envelope"}

WSDL = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/{soap}/"
    xmlns:x="http://www.w3.org/2001/XMLSchema" xmlns:t="{ns}" targetNamespace="{ns}">
  <types><x:schema targetNamespace="{ns}" elementFormDefault="qualified">
    <x:element name="Find"><x:complexType><x:sequence><x:element name="id" type="x:string"/>
      </x:sequence></x:complexType></x:element>
    <x:element name="Found"><x:complexType><x:sequence><x:element name="name" type="x:string"/>
      </x:sequence></x:complexType></x:element>
  </x:schema></types>
  <message name="In"><part name="p" element="t:Find"/></message>
  <message name="Out"><part name="p" element="t:Found"/></message>
  <portType name="Port"><operation name="Find"><input message="t:In"/><output message="t:Out"/>
    </operation></portType>
  <binding name="Binding" type="t:Port">
    <s:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="Find"><s:operation soapAction="{action}"/>
      <input><s:body use="literal"/></input><output><s:body use="literal"/></output></operation>
  </binding>
  <service name="Pdq"><port name="Port" binding="t:Binding"><s:address location="http://{host}/{soap}"/>
    </port></service>
</definitions>"""

ENVELOPE = """<?xml version="1.0"?><soap:Envelope xmlns:soap="{}"><soap:Body>{}</soap:Body></soap:Envelope>"""
FAULT = {
    "11": "<soap:Fault><faultcode>soap:Client</faultcode><faultstring>{}</faultstring></soap:Fault>",
    "12": "<soap:Fault><soap:Code><soap:Value>soap:Sender</soap:Value></soap:Code><soap:Reason>"
    '<soap:Text xml:lang="en">{}</soap:Text></soap:Reason></soap:Fault>',
}


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        soap = self.path.strip("/").split("?")[0]
        self.say(200, WSDL.format(ns=NAMESPACE, action=ACTION, host=self.headers["Host"], soap=soap))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        # As it was spelled, not as HTTP would compare it: `SOAPAction` or nothing, quotes included.
        spelled = dict(self.headers.items())
        kind = self.headers["Content-Type"]
        version = "12" if kind.startswith("application/soap+xml") else "11"
        claimed = f'"{ACTION}"' in (kind if version == "12" else spelled.get("SOAPAction", ""))
        print("soap", version, "action", spelled.get("SOAPAction"), "addressed", b"addressing" in body,
              "peer", self.headers["x-forwarded-client-cert"], flush=True)
        if not claimed:
            self.answer(500, version, FAULT[version].format("no such action"))
        elif b"PQ4711" not in body:
            self.answer(500, version, FAULT[version].format("nobody"))
        else:
            self.answer(200, version, f'<Found xmlns="{NAMESPACE}"><name>Meier</name></Found>')

    def answer(self, status, version, body):
        kind = "application/soap+xml" if version == "12" else "text/xml"
        self.say(status, ENVELOPE.format(SOAP[version], body), kind)

    def say(self, status, text, kind="text/xml"):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(port):
    server = ThreadingHTTPServer(("127.0.0.1", int(port or 0)), Service)
    print("listening", server.server_port, flush=True)
    server.serve_forever()


def client(port, path, *plugins):
    import zeep

    return zeep.Client(f"http://127.0.0.1:{port}/{path}?wsdl", plugins=list(plugins))


def call(client):
    import zeep

    print("found", client.service.Find(id="PQ4711"), flush=True)
    try:
        client.service.Find(id="0815")
        raise AssertionError("no fault")
    except zeep.exceptions.Fault as fault:
        print("fault", fault.message, flush=True)


def call_another(client):
    """Claims what it may, and sends what it may not."""
    import zeep

    class Renames(zeep.Plugin):
        def egress(self, envelope, headers, operation, options):
            body = envelope.find("{*}Body")
            body[0].tag = body[0].tag.replace("Find", "Delete")
            return envelope, headers

    client.plugins.append(Renames())
    try:
        client.service.Find(id="PQ4711")
        raise AssertionError("let through")
    except zeep.exceptions.TransportError as error:
        print("denied", error.status_code, flush=True)


def main(what, port=None):
    if what == "server":
        serve(port)
    elif what == "client":
        call(client(port, "soap"))
    elif what == "client12":
        call(client(port, "soap12"))
    elif what == "addressing":
        from zeep.wsa import WsAddressingPlugin

        call(client(port, "soap12", WsAddressingPlugin()))
    elif what == "other":
        call_another(client(port, "soap"))


main(*sys.argv[1:])
