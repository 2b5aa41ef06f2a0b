"""A legacy SOAP 1.1 service that is picky as legacy services are, and zeep as its client.

soap_peer.py server        listens on a port that the kernel chooses, and says "listening PORT"
soap_peer.py client PORT   reads the WSDL, calls the operation, and says "found Meier"
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ACTION = "urn:hl7-org:v3:PRPA_IN201305UV02"
NAMESPACE = "urn:hospital:pdq"

WSDL = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"
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
  <service name="Pdq"><port name="Port" binding="t:Binding"><s:address location="http://{host}/pdq"/>
    </port></service>
</definitions>"""

ENVELOPE = """<?xml version="1.0"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">
<soap:Body>{}</soap:Body></soap:Envelope>"""


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.say(200, WSDL.format(ns=NAMESPACE, action=ACTION, host=self.headers["Host"]))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        # As it was spelled, not as HTTP would compare it: `SOAPAction` or nothing, quotes included.
        spelled = dict(self.headers.items())
        print("action", spelled.get("SOAPAction"), "peer", self.headers["x-forwarded-client-cert"], flush=True)
        if spelled.get("SOAPAction") != f'"{ACTION}"':
            fault = "<soap:Fault><faultcode>soap:Client</faultcode><faultstring>no such action</faultstring></soap:Fault>"
            self.say(500, ENVELOPE.format(fault))
        elif b"PQ4711" not in body:
            fault = "<soap:Fault><faultcode>soap:Client</faultcode><faultstring>nobody</faultstring></soap:Fault>"
            self.say(500, ENVELOPE.format(fault))
        else:
            self.say(200, ENVELOPE.format(f'<Found xmlns="{NAMESPACE}"><name>Meier</name></Found>'))

    def say(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    print("listening", server.server_port, flush=True)
    server.serve_forever()


def call(port):
    import zeep

    client = zeep.Client(f"http://127.0.0.1:{port}/pdq?wsdl")
    print("found", client.service.Find(id="PQ4711"), flush=True)
    try:
        client.service.Find(id="0815")
        raise AssertionError("no fault")
    except zeep.exceptions.Fault as fault:
        print("fault", fault.message, flush=True)


if sys.argv[1] == "server":
    serve()
else:
    call(sys.argv[2])
