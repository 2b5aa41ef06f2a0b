"""Prints what a URL answers. The images of the workloads have neither curl nor wget."""

import sys
import urllib.request

try:
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        print(answer.read().decode())
except OSError as problem:
    sys.exit(str(problem))
