"""One run in the shim's hands, from its fork to its exit record. Stdlib only."""

from __future__ import annotations

import os
import signal
import time

from reeve.drivers.process import host, spool
from reeve.drivers.process.lease import Lease

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from reeve.drivers.process.ending import Ending
    from reeve.drivers.process.memory import Witness
    from reeve.drivers.process.spawn import Child

_MOST_LEFT_IN_A_PIPE = 1 << 20  # /proc/sys/fs/pipe-max-size, as kernels come


class Run:
    """A launched attempt: its processes, its pipes, its lease, and how far its end has come."""

    __slots__ = (
        "attempt",
        "child",
        "deadline",
        "detail",
        "directory",
        "door",
        "ended_at",
        "ending",
        "grace_seconds",
        "handle",
        "killed",
        "lease",
        "leftovers",
        "main_gone",
        "memory",
        "output",
        "problem",
        "started",
        "started_at",
        "token",
    )

    def __init__(
        self,
        order: dict[str, Any],
        child: Child,
        output: spool.Output,
        handle: dict[str, Any],
        memory: Witness,
    ) -> None:
        self.attempt: str = order["attempt"]
        self.directory: str = order["spool_dir"]
        self.grace_seconds: float = order["grace_seconds"]
        self.lease = Lease(order["lease"]) if order.get("lease") else None
        self.door, self.token = door_of(order)
        self.child = child
        self.output = output
        self.handle = handle
        self.memory = memory
        self.problem = b""  # why the program could not be started
        self.started = False  # whether the program has replaced the forked shim
        self.started_at = time.time()
        self.deadline = host.boottime() + order["max_seconds"] if order.get("max_seconds") else None
        self.ended_at = 0.0
        self.main_gone = False
        self.ending: Ending | None = None
        self.leftovers: set[tuple[int, int]] = set()  # what outlived the main process
        self.killed = False
        self.detail = ""  # why it has not ended yet, for people

    def pump(self, stream: str, pipe: int) -> bool:
        """Take what has come through one pipe to the spool; return False at its end."""
        try:
            data = os.read(pipe, 65536)
        except BlockingIOError:
            return True
        self.output.write(stream, data)
        return bool(data)

    def drain(self, pipes: dict[str, int]) -> None:
        """Take what the ended tree has left in its pipes. A stranger may still hold one open."""
        for stream, pipe in pipes.items():
            left = _MOST_LEFT_IN_A_PIPE
            while left > 0:
                try:
                    data = os.read(pipe, 65536)
                except BlockingIOError:
                    break
                if not data:
                    break
                self.output.write(stream, data)
                left -= len(data)

    def reap(self) -> dict[str, Any]:
        """Reap the main process, close everything, and return the exit record.

        Until here the dead main process has kept its pid, so that its session could not be mistaken.
        """
        _, status, usage = os.wait4(self.child.pid, 0)
        os.close(self.child.pidfd)
        self.output.close()
        return {
            "attempt": self.attempt,
            "handle": self.handle,
            "launched": True,
            "gone": True,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "stopped_by": self.ending.reason if self.ending else None,
            "killed": self.killed,
            "leftovers": len(self.leftovers),
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "max_rss_kib": usage.ru_maxrss,  # at least the shim's own: it counts from the fork
            "output_bytes": self.output.written,
            "output_cut_bytes": self.output.cut,
            "output_lost_bytes": self.output.lost,
            "output_dropped_bytes": self.output.dropped,
        }

    def discard(self) -> dict[str, Any]:
        """Clear away what could not be started, and return the record that says why."""
        os.waitpid(self.child.pid, 0)
        for file in (self.child.pidfd, *self.child.pipes.values()):
            os.close(file)
        self.output.close()
        return {
            "attempt": self.attempt,
            "launched": False,
            "gone": True,
            "message": self.problem.decode(errors="replace"),
            "started_at": self.started_at,
            "ended_at": time.time(),
        }

    def note_signal(self, pid: int, number: signal.Signals) -> None:
        """Remember that the main process was killed, so that nobody looks for another killer."""
        if pid == self.child.pid and number == signal.SIGKILL:
            self.killed = True


def door_of(order: dict[str, Any]) -> tuple[tuple[str, int, bool, str] | None, str]:
    """Return where a run's lease is renewed (host, port, whether TLS, path), and its token."""
    renew = order.get("renew")
    if not renew:
        return None, ""
    return (renew["host"], int(renew["port"]), bool(renew["tls"]), renew["path"]), renew["token"]
