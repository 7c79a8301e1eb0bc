"""The command line as users meet it: a process with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SECONDS = 60.0  # far above what any command takes: a time-out is a fault, not a measurement


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """Runs ``reeve`` with an environment that holds nothing of the tester's own."""

    environment: dict[str, str]
    directory: Path

    def __call__(self, *arguments: str, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "reeve", *arguments],
            env={**self.environment, **environment},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """The tester's environment without anything of reeve's, and that home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REEVE_")}
    return {**kept, "REEVE_HOME": str(home)}


@pytest.fixture
def reeve(environment: dict[str, str], tmp_path: Path) -> Shell:
    """The command, run in an empty directory."""
    directory = tmp_path / "work"
    directory.mkdir()
    return Shell(environment, directory)
