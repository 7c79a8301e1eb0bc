"""What tells machine, boot and pid namespace from others: half of a handle (protocol §9). Stdlib only."""
# ruff: noqa: PTH116, PTH123 - pathlib would cost the shim a megabyte

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def boottime() -> float:
    """Return seconds since boot, suspend included, the clock of leases (protocol §3)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def identify() -> dict[str, Any]:
    """Return host name, boot id and pid namespace of the caller."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip()
    return {
        "host": os.uname().nodename,
        "boot_id": boot_id,
        "pid_namespace": os.stat("/proc/self/ns/pid").st_ino,
    }
