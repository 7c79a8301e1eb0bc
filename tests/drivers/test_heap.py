"""What children of a template allocate lies side by side."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, resource
from reeve.drivers.process import heap

def faults():
    read, write = os.pipe()
    if os.fork() == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        kept = [bytes(size) for size in range(16, 1000, 16) for _ in range(5)]
        os.write(write, str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before).encode())
        os._exit(0)
    os.close(write)
    return int(os.read(read, 20))

pieces = [bytes(size) for size in range(16, 1000, 16) for _ in range(400)]
del pieces[::2]
scattered = faults()
heap.fill()
print(scattered, faults())
"""


def test_a_child_touches_fewer_pages_once_the_holes_are_filled() -> None:
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    scattered, filled = map(int, told.split())
    assert filled < scattered * 0.8
