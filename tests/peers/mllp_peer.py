"""HL7 v2 over MLLP as legacy programs speak it: python-hl7 and hl7apy.

mllp_peer.py server [PORT]                  python-hl7's server; stays open; says "listening PORT"
mllp_peer.py batches                        the same; a frame may hold several messages
mllp_peer.py once                           hl7apy's server: it closes after a message
mllp_peer.py client PORT TYPE...            python-hl7's client, one connection; says each answer's MSA-1 and MSA-2
mllp_peer.py tls PORT NAME CERT KEY CA TYPE...   python-hl7 over TLS of its own
"""

import asyncio
import ssl
import sys

import hl7
import hl7.client
import hl7.mllp


def message(kind, number):
    return (
        f"MSH|^~\\&|LIS|MAIN|EHR|WARD 3|20261122130000|PHISECRET|{kind}|PHIMRN{number}|P|2.5\r"
        f"PID|1||PHI4711||PHIDOE^JOHN\r"
    )


def tell(answer):
    print("answer", str(answer.segment("MSA")).replace("\r", ""), flush=True)


async def serve(port=0, takes_batches=False):
    async def take(reader):
        if not takes_batches:
            return [await reader.readmessage()]
        block = await reader.readblock()
        return [hl7.parse(message) for message in hl7.split_file(block.decode())]

    async def connected(reader, writer):
        try:
            while True:
                messages = await take(reader)
                for received in messages:
                    print("received", received.segment("MSH")[9], flush=True)
                writer.writemessage(messages[0].create_ack())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await hl7.mllp.start_hl7_server(connected, "127.0.0.1", port)
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def serve_once():
    from hl7apy.mllp import AbstractHandler, MLLPServer

    class Accept(AbstractHandler):
        def reply(self):
            answer = hl7.parse(self.incoming_message).create_ack()
            print("received", answer.segment("MSA")[2], flush=True)
            return f"\x0b{answer}\x1c\r"

    server = MLLPServer("127.0.0.1", 0, {"ADT^A01": (Accept,), "ORU^R01": (Accept,)})
    print("listening", server.server_address[1], flush=True)
    server.serve_forever()


def call(port, kinds):
    with hl7.client.MLLPClient("127.0.0.1", port) as client:
        for number, kind in enumerate(kinds):
            answer = client.send_message(message(kind, number))
            if not answer:
                print("closed", flush=True)
                return
            tell(hl7.parse(answer.strip(b"\x0b\x1c\r").decode()))


async def call_tls(port, name, cert, key, ca, kinds):
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    reader, writer = await hl7.mllp.open_hl7_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    for number, kind in enumerate(kinds):
        writer.writemessage(hl7.parse(message(kind, number)))
        await writer.drain()
        try:
            tell(await reader.readmessage())
        except asyncio.IncompleteReadError:
            print("closed", flush=True)
            break
    writer.close()


match sys.argv[1:]:
    case ["server"]:
        asyncio.run(serve())
    case ["server", port]:
        asyncio.run(serve(int(port)))
    case ["batches"]:
        asyncio.run(serve(takes_batches=True))
    case ["once"]:
        serve_once()
    case ["client", port, *kinds]:
        call(int(port), kinds)
    case ["tls", port, name, cert, key, ca, *kinds]:
        asyncio.run(call_tls(int(port), name, cert, key, ca, kinds))
