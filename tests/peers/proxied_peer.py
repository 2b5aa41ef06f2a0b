"""Programs that know of a forward proxy by `http_proxy` alone, and the server that they ask for."""

import asyncio
import hashlib
import os
import sys

import aiohttp
import requests
from aiohttp import web


async def headers(request):
    told = dict(request.headers) | {"(target)": request.raw_path}
    return web.json_response({name.lower(): value for name, value in told.items()})


async def echo(request):
    # All of it first: the client reads nothing before it has sent everything.
    return web.Response(body=await request.read())


async def socket(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str("heard " + message.data)
    return socket


def serve(port):
    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.get("/headers", headers), web.post("/echo", echo), web.get("/socket", socket)])
    web.run_app(app, host=["::", "0.0.0.0"], port=int(port), reuse_port=True)


def fetch(*urls):
    with requests.Session() as session:
        for url in urls:
            answer = session.get(url, timeout=20)
            print(answer.status_code, answer.text, end="")


def upload(url, size):
    body = os.urandom(int(size))
    answer = requests.post(url, data=body, timeout=60)
    same = hashlib.sha256(answer.content).digest() == hashlib.sha256(body).digest()
    print(answer.status_code, len(answer.content), "same" if same else "another")


def talk(url):
    async def talking():
        async with aiohttp.ClientSession(trust_env=True) as session:
            async with session.ws_connect(url) as socket:
                for word in ["one", "two"]:
                    await socket.send_str(word)
                    print(await socket.receive_str(timeout=20))

    asyncio.run(talking())


{"serve": serve, "fetch": fetch, "upload": upload, "talk": talk}[sys.argv[1]](*sys.argv[2:])
