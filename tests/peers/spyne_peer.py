"""A SOAP service made with spyne, and zeep as its client.

spyne_peer.py server         listens on a port that the kernel chooses, and says "listening PORT"
spyne_peer.py client PORT    reads the WSDL and calls an operation; says "found Meier"
spyne_peer.py other PORT     calls one that is there, and that nobody allows; says "denied 403"
"""

import logging
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

NAMESPACE = "urn:hospital:records"


def serve():
    from spyne import Application, ServiceBase, Unicode, rpc
    from spyne.protocol.soap import Soap11
    from spyne.server.wsgi import WsgiApplication

    logging.disable(logging.CRITICAL)

    class Records(ServiceBase):
        @rpc(Unicode, _returns=Unicode)
        def Find(ctx, id):
            print("found", flush=True)
            return "Meier" if id == "PQ4711" else "nobody"

        @rpc(Unicode, _returns=Unicode)
        def Delete(ctx, id):
            print("deleted", flush=True)
            return "gone"

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_):
            pass

    application = Application([Records], NAMESPACE, in_protocol=Soap11(validator="lxml"), out_protocol=Soap11())
    server = make_server("127.0.0.1", 0, WsgiApplication(application), handler_class=Quiet)
    print("listening", server.server_port, flush=True)
    server.serve_forever()


def client(port):
    import zeep

    return zeep.Client(f"http://127.0.0.1:{port}/records?wsdl")


def main(what, port=None):
    import zeep

    if what == "server":
        serve()
    elif what == "client":
        print("found", client(port).service.Find("PQ4711"), flush=True)
    else:
        try:
            client(port).service.Delete("PQ4711")
            raise AssertionError("let through")
        except zeep.exceptions.TransportError as error:
            print("denied", error.status_code, flush=True)


main(*sys.argv[1:])
