"""A short campaign: no 5xx, no answer outside the published schema. scripts/fuzz runs long ones."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.house import House
from tests.fuzz.campaign import campaign


def test_no_answer_is_outside_the_document(tmp_path: Path, database_url: str) -> None:
    house = House(tmp_path / "house", database_url)
    try:
        outcome = campaign(house, examples=2, seed=1)
    finally:
        house.close()
    assert not outcome.failures, outcome.log.read_text()
