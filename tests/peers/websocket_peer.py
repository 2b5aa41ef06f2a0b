"""A WebSocket service and its client, by the package `websockets`.

websocket_peer.py server        listens on a port that the kernel chooses, and says "listening PORT"
websocket_peer.py client PORT   talks to it, and says "all said"
websocket_peer.py ask PORT PATH connects, and says "STATUS ID", the id being the request's in the answer
websocket_peer.py hold PORT     connects, says "connected", and tells how the connection ends
websocket_peer.py chat PORT     connects, says "connected", talks until SIGTERM, and says "all said COUNT"
"""

import asyncio
import signal
import sys

import websockets


async def talk(connection):
    await connection.send("welcome")  # behind the 101 at once: the server speaks first
    async for message in connection:
        if message == "bye":
            await connection.close(4321, "as you wish")
            return
        await connection.send(message)


async def serve():
    async with websockets.serve(
        talk, "127.0.0.1", 0, subprotocols=["hl7"], max_size=8 << 20
    ) as server:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


async def converse(port):
    url = f"ws://127.0.0.1:{port}/feed?id=7"
    # Without compression, so that what is counted on the way is what is said.
    async with websockets.connect(
        url, subprotocols=["hl7"], max_size=8 << 20, compression=None
    ) as connection:
        assert connection.subprotocol == "hl7", connection.subprotocol
        assert await connection.recv() == "welcome"
        for message in ["hello", b"\x00\xff" * 50, "x" * 300_000, b"y" * (4 << 20)]:
            await connection.send(message)
            assert await connection.recv() == message
        await asyncio.wait_for(await connection.ping(), 10)
        await connection.send("bye")
        try:
            await connection.recv()
            raise AssertionError("it did not close")
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4321, "as you wish"), closed
    print("all said", flush=True)


async def hold(port):
    url = f"ws://127.0.0.1:{port}/"
    async with websockets.connect(url, subprotocols=["hl7"]) as connection:
        assert await connection.recv() == "welcome"
        print("connected", flush=True)
        try:
            await connection.recv()
        except websockets.ConnectionClosed as closed:
            print("ended", closed.rcvd, flush=True)


async def chat(port):
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, enough.set)
    url = f"ws://127.0.0.1:{port}/"
    async with websockets.connect(url, subprotocols=["hl7"]) as connection:
        assert await connection.recv() == "welcome"
        print("connected", flush=True)
        count = 0
        while not enough.is_set():
            message = f"message {count}"
            await connection.send(message)
            assert await connection.recv() == message
            count += 1
            await asyncio.sleep(0.005)
    print("all said", count, flush=True)


async def ask(port, path):
    try:
        async with websockets.connect(f"ws://127.0.0.1:{port}{path}", subprotocols=["hl7"]):
            print("101 -", flush=True)
    except websockets.InvalidStatus as refused:
        answer = refused.response
        print(answer.status_code, answer.headers.get("x-request-id", "-"), flush=True)


what, *told = sys.argv[1:]
does = {"server": serve, "client": converse, "hold": hold, "chat": chat, "ask": ask}
asyncio.run(does[what](*told))
