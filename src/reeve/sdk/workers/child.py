"""The worker's side of a pool of processes: reads a Setup, then calls, and says how each ended."""

from __future__ import annotations

import logging
import os
import pickle
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType, ModuleType
from typing import Any

from reeve.sdk.local import importing
from reeve.sdk.modules import load_file
from reeve.sdk.runners import Abandoned
from reeve.sdk.workers.crossing import Ended, NotPicklableError, RemoteCall, raised

MAIN = b"__main__"


@dataclass(frozen=True, slots=True)
class Setup:
    """Where a worker finds the user's code: as in the process of the flow.

    ``main``: the file, or the module, that was started there; ``files``: modules that were loaded from files
    whose name may not say so.
    """

    directory: str
    path: list[str]
    main: tuple[str, str] | None
    files: dict[str, str]


class Worker:
    """The worker's end of the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._main: tuple[str, str] | None = None
        self._files: dict[str, str] = {}
        self._busy = False
        self._stopped = False

    def run(self) -> None:
        """Perform calls until there are no more."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whose Ctrl-C it is, the flow's process decides
        self._set_up(pickle.loads(self._connection.recv_bytes()))  # noqa: S301  # our own process wrote it
        while True:
            try:
                asked = self._connection.recv_bytes()
            except EOFError:
                return
            self._send(("end", self._answer(asked)))

    def _send(self, told: tuple[str, Any]) -> None:
        with self._sending:  # threads of a task may log
            self._connection.send_bytes(pickle.dumps(told))

    def _set_up(self, setup: Setup) -> None:
        os.chdir(setup.directory)
        sys.path[:] = setup.path
        self._main, self._files = setup.main, dict(setup.files)
        logging.getLogger().addHandler(_ToFlow(self._send))

    def _answer(self, asked: bytes) -> Ended:
        try:
            self._busy = True
            try:
                call = self._read(asked)
                from reeve.sdk.workers.performing import perform

                return perform(call)
            finally:
                self._busy = False
        except Exception as error:  # noqa: BLE001  # it is told
            return raised(error)
        except BaseException as stop:  # noqa: BLE001  # as above; the process itself goes on until it is closed
            return ("stopped", type(stop).__name__, [arg for arg in stop.args if isinstance(arg, int | str)])

    def _read(self, asked: bytes) -> RemoteCall:
        while self._files:  # here, so that what their import raises is the task's error
            name, file = next(iter(self._files.items()))
            load_file(name, file)
            del self._files[name]
        if MAIN in asked and self._main is not None:
            _load_main(*self._main)
            self._main = None
        try:
            call = pickle.loads(asked)  # noqa: S301  # our own process wrote it
        except Exception as error:
            raise NotPicklableError(f"A call cannot be read in its worker: {error!r}") from error
        assert isinstance(call, RemoteCall), "nothing else is sent"
        logging.getLogger("reeve").setLevel(call.log_level)
        return call

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        if self._stopped:
            return
        self._stopped = True
        if not self._busy:
            os._exit(0)  # nothing of the user's runs
        raise Abandoned


class _ToFlow(logging.Handler):
    """Sends what is logged to the process of the flow, which has the handlers."""

    def __init__(self, send: Callable[[tuple[str, Any]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line; what cannot cross is written out first."""
        try:
            told: dict[str, Any] = {**record.__dict__, "msg": record.getMessage(), "args": None}
            if record.exc_info:
                told["exc_text"] = logging.Formatter().formatException(record.exc_info)
            told["exc_info"] = None
            self._send(("log", told))
        except Exception:  # noqa: BLE001  # logging never breaks what logs
            self.handleError(record)


def _load_main(kind: str, where: str) -> None:
    """Have ``__main__`` be what it is in the process of the flow, but not do what that does at its start."""
    main = ModuleType("__mp_main__")  # the name that multiprocessing has for it
    token = importing.set(True)
    try:
        run = runpy.run_path if kind == "file" else runpy.run_module
        main.__dict__.update(run(where, run_name="__mp_main__"))
    finally:
        importing.reset(token)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main
