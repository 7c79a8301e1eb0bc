"""Requests made up by schemathesis from docs/openapi.json, and how a real server answered them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.house import House

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "openapi.json"
SCHEMATHESIS = Path(sys.executable).with_name("st")

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
PHASES = ("fuzzing", "stateful")
EDGES = "coverage"  # schemathesis' third phase: bounds and wrong types one by one, nearly all to be refused
LEAST_SUCCESS = 0.3  # of all requests, or they do not get past the front door

Name = tuple[str, str]  # method and path of an operation


@dataclass(frozen=True)
class Outcome:
    """What came of a campaign. ``failures``: sentences; ``log``: what schemathesis says of each."""

    asked: dict[Name, Counter[int]]
    failures: list[str]
    log: Path

    @property
    def requests(self) -> int:
        """Return how many requests were answered."""
        return sum(counter.total() for counter in self.asked.values())

    @property
    def success(self) -> float:
        """Return the share of the answers that were 2xx."""
        good = sum(
            count
            for counter in self.asked.values()
            for status, count in counter.items()
            if 200 <= status < 300
        )
        return good / max(self.requests, 1)

    def covered(self, operations: Iterable[Name]) -> int:
        """Return how many of these operations were asked."""
        return len(self.asked.keys() & set(operations))


def operations(*, own: bool) -> set[Name]:
    """Return the operations of the document: reeve's own, or those of the dialect."""
    paths = json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    return {
        (method.upper(), path)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if operation.get("x-reeve", False) is own
    }


def campaign(house: House, *, examples: int, seed: int, phases: Collection[str] = PHASES) -> Outcome:
    """Start the house's server, and ask ``examples`` things of each operation."""
    house.start_server()
    key = (house.home / "key").read_text().strip()
    log, events = house.root / "fuzz.log", house.root / "fuzz.ndjson"
    command = [
        *(str(SCHEMATHESIS), "run", str(DOCUMENT), "--url", f"http://127.0.0.1:{house.port}/api"),
        *("--header", f"Authorization: Bearer {key}"),
        *("--phases", ",".join(phases), "--max-examples", str(examples), "--seed", str(seed)),
        *("--checks", ",".join(CHECKS), "--mode", "all", "--continue-on-failure", "--no-shrink"),
        *("--report", "ndjson", "--report-ndjson-path", str(events), "--generation-database", "none"),
        *("--request-timeout", "60", "--warnings", "off", "--no-color"),
    ]
    environ = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)}
    with log.open("wb") as output:
        ended = subprocess.run(
            command,
            check=False,
            env=environ,
            cwd=house.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    asked, failures = _read(events)
    if ended.returncode and not failures:
        failures = [f"schemathesis ended with {ended.returncode}"]
    outcome = Outcome(asked, failures, log)
    gaps = [*_never_asked(outcome), *(() if EDGES in phases else _outside(outcome))]
    return Outcome(asked, [*failures, *gaps], log)


def _never_asked(outcome: Outcome) -> Iterator[str]:
    everything = operations(own=True) | operations(own=False)
    missing = sorted(everything - outcome.asked.keys())
    yield from (f"{method} {path} was never asked" for method, path in missing)


def _outside(outcome: Outcome) -> Iterator[str]:
    if outcome.success < LEAST_SUCCESS:
        yield f"only {outcome.success:.0%} of the requests were answered 2xx, {LEAST_SUCCESS:.0%} are wanted"


def _read(events: Path) -> tuple[dict[Name, Counter[int]], list[str]]:
    """Return the statuses of each operation's answers, and the failures, each once."""
    asked: dict[Name, Counter[int]] = {}
    failures: dict[str, None] = {}
    for line in events.read_bytes().splitlines():
        event: dict[str, Any] = json.loads(line)
        if error := event.get("NonFatalError"):
            failures[f"{error['label']}: {error.get('value') or error}"] = None
        recorder = event.get("ScenarioFinished", {}).get("recorder") or {}
        for key, node in recorder.get("cases", {}).items():
            name = node["value"]["method"], node["value"]["path"]
            answer = recorder.get("interactions", {}).get(key, {}).get("response")
            if answer:
                asked.setdefault(name, Counter())[answer["status_code"]] += 1
            for check in recorder.get("checks", {}).get(key, ()):
                if check["status"] != "success":
                    said = check.get("failure_info", {}).get("failure", {}).get("title", check["name"])
                    failures[f"{' '.join(name)}: {said} ({answer and answer['status_code']})"] = None
    return asked, list(failures)
