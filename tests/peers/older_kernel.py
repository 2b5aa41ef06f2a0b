"""Starts a program on what it must take for an older kernel: some system calls fail as if they did not exist, or end it.

older_kernel.py CALLS PROGRAM ARGUMENT...     CALLS: names of system calls, with commas between them; those with `!` end the program
"""

import ctypes
import errno
import os
import platform
import struct
import sys

# Both machines have the same numbers for what came after Linux 5.
NUMBERS = {"landlock_create_ruleset": 444, "seccomp": {"x86_64": 317, "aarch64": 277}}
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
LOAD_NUMBER, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000


def number(call):
    known = NUMBERS[call]
    return known if isinstance(known, int) else known[platform.machine()]


def instruction(code, then, otherwise, value):
    return struct.pack("HBBI", code, then, otherwise, value)


calls, program = sys.argv[1].split(","), sys.argv[2:]
steps = [instruction(LOAD_NUMBER, 0, 0, 0)]
for call in calls:
    steps.append(instruction(IF_EQUAL, 0, 1, number(call.removeprefix("!"))))
    steps.append(instruction(RETURN, 0, 0, KILL if call.startswith("!") else ERRNO | errno.ENOSYS))
steps.append(instruction(RETURN, 0, 0, ALLOW))
code = ctypes.create_string_buffer(b"".join(steps))


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


libc = ctypes.CDLL(None, use_errno=True)
given = Filter(len(steps), ctypes.addressof(code))
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(program[0], program)
