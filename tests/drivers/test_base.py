"""Exits in words, and the list of drivers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from reeve.drivers import registry
from reeve.drivers.base import ExitRecord, cause, crash_message
from reeve.drivers.process.driver import ProcessDriver
from reeve.errors import NotFoundError


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"code": 0}, "exited with code 0"),
        ({"code": 3}, "exited with code 3"),
        ({"signal": 9}, "killed by SIGKILL (kill -9 or out of memory)"),
        (
            {"signal": 9, "oom_kills": 1, "max_rss_kib": 2048},
            "killed out of memory at 2 MiB (SIGKILL of the kernel)",
        ),
        (
            {"signal": 9, "oom_kills": 0},
            "killed by SIGKILL (kill -9; the kernel ended none of its group for lack of memory)",
        ),
        ({"signal": 11}, "crashed with SIGSEGV (a fault in compiled code)"),
        ({"signal": 15}, "ended by SIGTERM, which reeve did not send"),
        ({"signal": 10}, "killed by SIGUSR1"),
        ({"signal": 40}, "killed by signal 40"),
        ({"code": 1, "stopped_by": "agent"}, "exited with code 1 after it was told to stop"),
        ({"signal": 15, "stopped_by": "lease"}, "ended by SIGTERM after its lease was lost"),
        (
            {"signal": 9, "stopped_by": "server", "killed": True},
            "killed after the grace period, since the server told it to stop",
        ),
        ({"message": "the shim was killed"}, "the shim was killed"),
        ({}, "ended, nobody saw how"),
    ],
)
def test_a_cause_is_told_in_words(fields: dict[str, Any], says: str) -> None:
    assert cause(ExitRecord(attempt=UUID(int=1), **fields)) == says


def test_the_status_code_is_that_of_2_20() -> None:
    assert ExitRecord(attempt=UUID(int=1), signal=15).status_code == -15
    assert ExitRecord(attempt=UUID(int=1), code=3).status_code == 3
    assert ExitRecord(attempt=UUID(int=1), message="?").status_code is None
    assert crash_message(137) == "Flow run infrastructure exited with non-zero status code 137."


def test_drivers_are_found_by_name() -> None:
    assert "process" in registry.names()
    assert registry.load("process") is ProcessDriver


def test_an_unknown_driver_is_explained() -> None:
    with pytest.raises(NotFoundError, match=r"no driver 'proces'.*Did you mean 'process'\?"):
        registry.load("proces")
