"""One house for all examples: they are copied into it, and deployed by their ``reeve.yaml``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.house import House

EXAMPLES = Path(__file__).parents[2] / "examples"
ELSEWHERE = ("__pycache__", "data", "ported")  # not code, or with tests of its own


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a house in which ``reeve deploy --all`` has deployed all examples, and an agent waits for runs."""
    root = tmp_path_factory.mktemp("examples")
    made = House(root, f"sqlite:///{root / 'reeve.db'}")
    shutil.copytree(EXAMPLES, made.flows, ignore=shutil.ignore_patterns(*ELSEWHERE), dirs_exist_ok=True)
    try:
        made.start_server()
        made.cli("deploy", "--all")
        made.start_agent("agent", "--limit", "16")
        yield made
    finally:
        made.close()
