"""Runs a program on a terminal of 100 columns and 40 rows, and tells what a person would see, as JSON.

screen.py WANTED RESIZED END PROGRAM...: waits until WANTED is on the screen, or until there is such a file; with RESIZED (columns, 0 for none) makes the
terminal so wide and waits until it is drawn anew; then ends the program by END: a key, or TERM for the signal.
"""

import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
import time

import pyte

wanted, resized, end, program = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
ROWS, COLUMNS = 40, 100


def size(descriptor, columns):
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))


def is_there(display):
    if not wanted.startswith("/"):
        return any(wanted in line for line in display)
    while not os.path.exists(wanted):
        time.sleep(0.01)
    return True


child, terminal = pty.fork()
if child == 0:
    size(1, COLUMNS)
    print("what was there before", flush=True)
    os.execv(program[0], program)
screen = pyte.Screen(COLUMNS, ROWS)
stream = pyte.ByteStream(screen)
raw, shown, narrow, state = b"", [], [], "waiting"
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:  # EIO: the other end is closed
        break
    if not part:
        break
    raw += part
    stream.feed(part)
    drawn = is_there(screen.display)
    if state == "waiting" and drawn:
        shown = [line.rstrip() for line in screen.display]
        if resized:
            screen.resize(ROWS, resized)
            screen.reset()
            size(terminal, resized)
            state = "resized"
            continue
        state = "over"
    elif state == "resized" and drawn:
        narrow = [line.rstrip() for line in screen.display]
        state = "over"
    else:
        continue
    if end == "TERM":
        os.kill(child, signal.SIGTERM)
    else:
        os.write(terminal, end.encode().decode("unicode_escape").encode())
_, status = os.waitpid(child, 0)
print(json.dumps({
    "shown": shown,
    "narrow": narrow,
    "entered": raw.count(b"\x1b[?1049h"),
    "left": raw.count(b"\x1b[?1049l"),
    "cursor_back": raw.rfind(b"\x1b[?25h") > raw.rfind(b"\x1b[?25l"),
    "colours": b"\x1b[31m" in raw or b"\x1b[32m" in raw,
    "code": os.waitstatus_to_exitcode(status),
}))
