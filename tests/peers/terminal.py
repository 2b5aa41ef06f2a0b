"""Runs a program on a terminal of so many columns until it ends, and prints what came, as JSON.

terminal.py COLUMNS INTERRUPT_AFTER PROGRAM...: when INTERRUPT_AFTER has come, types Ctrl-C; empty types nothing.
"""

import fcntl
import json
import os
import pty
import struct
import sys
import termios

columns, after, program = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3:]
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.execv(program[0], program)
came, typed = b"", False
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:  # EIO: the other end is closed
        break
    if not part:
        break
    came += part
    if after and not typed and after in came:
        os.write(terminal, b"\x03")
        typed = True
_, status = os.waitpid(child, 0)
print(json.dumps({"came": came.decode(), "code": os.waitstatus_to_exitcode(status)}))
