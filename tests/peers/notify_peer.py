"""A service manager's end of sd_notify(3): prints each datagram that comes to the socket PATH, one JSON list a line: the
process that has sent it, as the kernel says, and its text.

notify_peer.py PATH
"""

import json
import socket
import struct
import sys

peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
peer.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
name = sys.argv[1]
peer.bind("\0" + name[1:] if name.startswith("@") else name)
print("hearing", flush=True)
while True:
    data, ancillary, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("3i")))
    credentials = next(data for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS)
    print(json.dumps([struct.unpack("3i", credentials)[0], data.decode()]), flush=True)
