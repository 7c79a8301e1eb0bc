"""A worker process: ``python -m reeve.sdk.workers CONNECTION LIFELINE``, two descriptors.

It ends when the connection does. The lifeline is a pipe whose other end its flow's process holds: when that
is gone, the kernel kills this process, even inside of a long call into C.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from multiprocessing.connection import Connection

from reeve.sdk.workers.child import Worker


def _die_with(lifeline: int) -> None:
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    if poll.poll(0):  # it was gone before
        os._exit(1)


if __name__ == "__main__":
    _die_with(int(sys.argv[2]))
    Worker(Connection(int(sys.argv[1]))).run()
