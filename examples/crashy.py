"""A run whose first attempt waits to be killed, and whose second attempt completes.

Deploy it with a crash retry, kill the process whose number it writes to ``pid_file`` with -9, and watch.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from reeve import current_run, flow


@flow(log_prints=True)
def crashy(pid_file: Path) -> str:
    """Wait for death in the first attempt; complete in any later one."""
    attempt = current_run().attempt
    print(f"attempt {attempt}")
    if attempt > 1:
        return f"completed by attempt {attempt}"
    partial = pid_file.with_suffix(".part")
    partial.write_text(str(os.getpid()))
    partial.rename(pid_file)  # whoever waits for the file finds the whole number in it
    while True:
        time.sleep(1)
