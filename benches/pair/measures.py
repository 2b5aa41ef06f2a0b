"""What is measured. Each measure takes a workbench, a peer and the lengths, and returns {key: number}."""
import json
import os
import re
import socket
import subprocess
import time

import backend
import echo
from process import machine_busy

CONNECTIONS = 64
IDLE = 2000


def start(bench, peer, _lengths):
    """Start-up until both ports accept, and size when idle."""
    with bench.pair(peer, peer.modes[0], backend.http) as pair:
        socket.create_connection(("127.0.0.1", pair.port), 5).close()       # so that lazy set-up is counted
        time.sleep(0.5)
        return {"start_ms": max(pair.ready.values(), default=0) * 1000, "start_cpu_ms": pair.cpu() * 500,
                "idle_rss_mib": pair.rss_kib() / 2048}


def bulk(bench, peer, lengths):
    """L4 throughput: one and four streams, both ways."""
    found = {}
    for streams, way in ((1, "up"), (1, "down"), (4, "up"), (4, "down")):
        with bench.pair(peer, "l4", backend.iperf) as pair:
            time.sleep(0.3)         # iperf3 is done with the connection that found the pair listening
            argv = ["iperf3", "-c", "127.0.0.1", "-p", str(pair.port), "-t", str(lengths.seconds), "-P", str(streams), "-J"]
            text, cpu, noise = load(pair, argv + (["-R"] if way == "down" else []), lengths.seconds)
        answer = json.loads(text)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        received = answer["end"]["sum_received"]
        gigabytes = received["bytes"] / 1e9
        found[f"{way}{streams}_gb_s"] = gigabytes / received["seconds"]
        found[f"{way}{streams}_cpu_s_gb"] = cpu / gigabytes
        found["noise"] = max(found.get("noise", 0), noise)
    return found


def connections(bench, peer, lengths):
    """New connections, one full mutual handshake and one request each."""
    return requests(bench, peer, lengths, "l4", "conn", 32, ["-H", "Connection: close"])


def l4(bench, peer, lengths):
    """Small messages over open connections, as bytes."""
    return requests(bench, peer, lengths, "l4", "l4", CONNECTIONS, [])


def l7(bench, peer, lengths):
    """HTTP/1.1 requests over open connections, as HTTP."""
    return requests(bench, peer, lengths, "l7", "l7", CONNECTIONS, [])


def requests(bench, peer, lengths, mode, key, connections, extra):
    with bench.pair(peer, mode, backend.http) as pair:
        wrk = ["wrk", "-t1", *extra, f"http://127.0.0.1:{pair.port}/"]
        load(pair, [*wrk, "-c8", "-d1s"], 1)                        # warm up
        text, cpu, noise = load(pair, [*wrk, f"-c{connections}", f"-d{lengths.seconds}s"], lengths.seconds)
        settled = peer.settle(pair)
        if settled is not None:
            cpu = pair.cpu()                                        # what went out later was work of the same requests
    count = int(re.search(r"(\d+) requests in", text)[1])
    failed = [int(n) for line in re.findall(r"Socket errors:.*|Non-2xx.*: \d+", text) for n in re.findall(r" (\d+)", line)]
    if not count:
        raise RuntimeError(f"no request succeeded: {text[-400:]}")
    found = {} if settled is None else {f"{key}_settle_s": settled}
    return {**found, f"{key}_per_s": count / lengths.seconds, f"{key}_cpu_us": cpu / count * 1e6, f"{key}_errors": sum(failed),
            "noise": noise}


def l4_rate(bench, peer, lengths):
    """Latency of small messages at a fixed rate."""
    return latency(bench, peer, lengths, "l4")


def l7_rate(bench, peer, lengths):
    """Latency of HTTP requests at a fixed rate."""
    return latency(bench, peer, lengths, "l7")


def latency(bench, peer, lengths, mode):
    with bench.pair(peer, mode, backend.http) as pair:
        argv = [client("lat"), "127.0.0.1", str(pair.port), "20", str(lengths.rate), "1", str(lengths.rate_seconds)]
        text, _, noise = load(pair, argv, lengths.rate_seconds)
    answer = json.loads(text)
    return {f"{mode}_p50_us": answer["p50_us"], f"{mode}_p99_us": answer["p99_us"],
            f"{mode}_rate_errors": answer["missing"] + answer["errors"], "noise": noise}


def memory(bench, peer, _lengths):
    """Memory of idle connections: fresh, after each has carried 16 KiB both ways, and once they are closed."""
    with bench.pair(peer, "l4", backend.echo) as pair:
        for connection in echo.connect(pair.port, 4):
            connection.close()
        time.sleep(1)
        before = pair.rss_kib()
        idle = echo.connect(pair.port, IDLE)
        try:
            time.sleep(1.5)
            fresh = pair.rss_kib()
            for first in range(0, IDLE, 20):
                echo.exchange(idle[first:first + 20], 16384)
            time.sleep(2)
            used = pair.rss_kib()
        finally:
            for connection in idle:
                connection.close()
        time.sleep(3)
        return {"conn_kib": (fresh - before) / IDLE, "used_conn_kib": (used - before) / IDLE,
                "after_mib": (pair.rss_kib() - before) / 1024}


MEASURES = {"start": start, "bulk": bulk, "conn": connections, "l4": l4, "l7": l7, "l4rate": l4_rate, "l7rate": l7_rate,
            "memory": memory}
MODES = {"l7": "l7", "l7rate": "l7"}            # all others are L4


def load(pair, argv, seconds):
    """Runs a load client. Returns what it printed, the pair's CPU seconds, and what others took of the machine, in %."""
    pair.mark()
    busy, mine, begun = machine_busy(), os.times(), time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 20, start_new_session=True)
    cpu, wall = pair.cpu(), time.monotonic() - begun
    now = os.times()
    ours = cpu + pair.backend.cpu() + sum(now[:4]) - sum(mine[:4])
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {(done.stderr or done.stdout)[-600:]}")
    noise = (machine_busy() - busy - ours) / (wall * os.cpu_count()) * 100
    return done.stdout, cpu, max(0.0, noise)


def client(name):
    """The C client NAME.c, compiled beside the user's other caches when it has changed."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.c")
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "myelin-bench")
    program = os.path.join(cache, name)
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        os.makedirs(cache, exist_ok=True)
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    return program
