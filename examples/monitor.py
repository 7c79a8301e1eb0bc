"""Watch this machine for a while, and say every now and then how it does. The log is there while it runs.

    python examples/monitor.py                                     # plain Python, no server
    reeve deploy examples/monitor.py:monitor -n example
    reeve run monitor/example -P seconds=60                        # it tells its ID
    reeve runs logs -f ID                                          # each line as it comes, until the run ends
    reeve runs logs -f ID --level WARNING

To see: `log_prints` makes each `print` a line of the run's log, beside those of `get_run_logger`.
"""

from __future__ import annotations

import os
import shutil
import time

from reeve import flow, get_run_logger


@flow(log_prints=True)
def monitor(seconds: float = 5, every: float = 1, disk: str = "/", busy_load: float = 4) -> None:
    """Tell the load and the space on a disk ``every`` so many seconds; warn where the load is high."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        load, _, _ = os.getloadavg()
        space = shutil.disk_usage(disk)
        print(f"load {load:.2f}, {space.free / space.total:.0%} of {disk} free")
        if load > busy_load:
            get_run_logger().warning("the machine is busy: %.2f", load)
        time.sleep(every)


if __name__ == "__main__":
    monitor(seconds=3, every=0.5)
