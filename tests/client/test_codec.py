"""Reading answers in threads."""

from __future__ import annotations

import subprocess
import sys

# Classes that are read for the first time, and lead to one another; many of them, as the moment is short.
PROGRAM = """
import sys, threading, types
from reeve.wire import codec

sys.setswitchinterval(1e-6)
fields = "\\n".join(f"    f{n}: 'A{{next}} | None' = None" for n in range(6))
source = "from msgspec import Struct\\n" + "\\n".join(
    f"class A{n}(Struct):\\n" + fields.format(next=n + 1) for n in range(12)
) + "\\nclass A12(Struct):\\n    x: int = 0\\n"

def read(module, depth, start):
    start.wait()
    codec.decode(b'{"f0":' * (11 - depth) + b"null" + b"}" * (11 - depth), getattr(module, f"A{depth}"))

for number in range(20):
    module = sys.modules[f"m{number}"] = types.ModuleType(f"m{number}")
    exec(source, module.__dict__)
    start = threading.Barrier(6)
    threads = [threading.Thread(target=read, args=(module, depth % 3, start)) for depth in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_threads_may_read_a_type_for_the_first_time_at_once() -> None:
    """msgspec 0.22.0 alone ends this program by SIGSEGV."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)
