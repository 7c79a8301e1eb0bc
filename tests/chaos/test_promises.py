"""The short form of every promise, on both databases; scripts/chaos runs the full counts."""

from __future__ import annotations

import pytest
from tests.chaos import frame, mutants


@pytest.mark.parametrize("promise", frame.names())
def test_promise_is_kept(promise: str, database_url: str) -> None:
    row = frame.keep(promise, database_url, seed=1, counts=frame.SHORT)
    assert row.trials
    assert not row.failures, "\n".join(row.failures)


@pytest.mark.parametrize("name", sorted(mutants.MUTANTS))
def test_a_mutant_fits_the_code_it_changes(name: str) -> None:
    mutant = mutants.MUTANTS[name]
    assert compile(mutants.patched(mutant), mutant.file, "exec")


# Those that are caught in seconds, on one database each; the others by scripts/chaos --mutant.
@pytest.mark.parametrize(("name", "kind"), [("restart-grace", "sqlite"), ("journal", "sqlite")])
def test_a_mutant_is_caught(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    mutant = mutants.MUTANTS[name]
    url = request.getfixturevalue(f"{kind}_url")
    with mutants.source(name) as source:
        row = frame.keep(mutant.promise, url, seed=1, counts=mutant.counts, source=source)
    assert row.failures
