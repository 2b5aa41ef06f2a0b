"""What stands behind the ingress side."""
import os
import sys

from peers import nginx
from process import Process

HERE = os.path.dirname(os.path.abspath(__file__))


def http(directory, port):
    """nginx that answers every request with 200 bytes."""
    conf = f"""daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {directory}/pid;
error_log {directory}/error.log error;
events {{ worker_connections 12000; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 1h; tcp_nodelay on;
  {nginx.temporary(directory)}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type text/plain; return 200 "{'x' * 200}"; }} }} }}
"""
    path = os.path.join(directory, "nginx.conf")
    with open(path, "w") as file:
        file.write(conf)
    return started(nginx.command("nginx", directory, path), directory, port)


def iperf(directory, port):
    """iperf3's server."""
    return started(["iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)], directory, port)


def echo(directory, port):
    """Sends back what it gets, for thousands of connections."""
    return started([sys.executable, os.path.join(HERE, "echo.py"), str(port)], directory, port)


def started(argv, directory, port):
    process = Process(argv, directory)
    try:
        process.wait_listening(port)
    except RuntimeError:
        process.stop()
        raise
    return process
