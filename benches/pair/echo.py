"""An echo server, and connections to it that then stay idle."""
import os
import select
import socket
import sys


def serve(port):
    """Runs until the parent is gone."""
    server = socket.create_server(("127.0.0.1", port), backlog=4096)
    server.setblocking(False)
    poll = select.epoll()
    poll.register(server.fileno(), select.EPOLLIN)
    open_ones, parent = {}, os.getppid()
    while os.getppid() == parent:
        for number, _ in poll.poll(1):
            if number == server.fileno():
                connection, _ = server.accept()
                open_ones[connection.fileno()] = connection
                poll.register(connection.fileno(), select.EPOLLIN)
            elif not answer(open_ones[number]):
                poll.unregister(number)
                open_ones.pop(number).close()


def answer(connection):
    try:
        data = connection.recv(65536)
        connection.sendall(data)
    except OSError:
        return False
    return bool(data)


def exchange(connections, size):
    """Sends `size` bytes on each and waits until all have come back."""
    for connection in connections:
        connection.sendall(b"x" * size)
    for connection in connections:
        left = size
        while left:
            got = len(connection.recv(65536))
            if not got:
                raise RuntimeError("the pair closed an idle connection")
            left -= got


def connect(port, count):
    """Opens `count` connections and proves that each works."""
    made = []
    while len(made) < count:
        batch = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(min(50, count - len(made)))]
        exchange(batch, 1)
        made += batch
    return made


if __name__ == "__main__":
    serve(int(sys.argv[1]))
