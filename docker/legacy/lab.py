"""The laboratory: sends one HL7 v2 message by MLLP and prints what comes back.

lab.py HOST PORT [TYPE]     TYPE is MSH-9; default ORU^R01, a result
"""

import socket
import sys

START, END = b"\x0b", b"\x1c\r"


def frames(connection):
    """The messages of a connection, one after the other, until it ends."""
    held = b""
    while received := connection.recv(65536):
        held += received
        while END in held:
            frame, held = held.split(END, 1)
            yield frame.removeprefix(START).decode()


def result(kind):
    return (
        f"MSH|^~\\&|LIS|LAB|ENGINE|WARD|20261122130000||{kind}|0001|P|2.5\r"
        "PID|1||MRN-4711-0815||Mustermann^Erika||19700101|F\r"
        "OBX|1|NM|2345-7^Glucose^LN||182|mg/dL|70-99|H|||F\r"
    )


if __name__ == "__main__":
    host, port = sys.argv[1], int(sys.argv[2])
    kind = sys.argv[3] if len(sys.argv) > 3 else "ORU^R01"
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(START + result(kind).encode() + END)
        answer = next(frames(connection), None)
    if answer is None:
        sys.exit("no acknowledgement")
    print(answer.replace("\r", "\n"), end="")
