"""A run that does not want to end alone: its child has a session of its own and ignores SIGTERM.

Cancel the run: it is Cancelled only once the child is gone too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from reeve import flow

CHILD = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(3600)
"""


@flow(log_prints=True)
def family(pid_file: Path | None = None) -> None:
    """Start the child, tell its pid, and wait to be cancelled."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, start_new_session=True, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()  # from here on it ignores SIGTERM
    print(f"child {child.pid}")
    if pid_file is not None:
        partial = pid_file.with_suffix(".part")
        partial.write_text(str(child.pid))
        partial.rename(pid_file)  # whoever waits for the file finds the whole number in it
    while child.poll() is None:
        time.sleep(1)


if __name__ == "__main__":
    family()
