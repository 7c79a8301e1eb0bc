from __future__ import annotations

import runpy
from pathlib import Path

from tests.core.making import DEPLOYMENT_ID, NOW, flow_run

from reeve.core.rules.flow_runs import FlowRunFacts, decide
from reeve.core.rules.verdict import SetStateStatus
from reeve.core.states import StateType, propose

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "states"))


def test_the_page_is_what_the_rules_say() -> None:
    page = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    assert page == SCRIPT["render"](), "run .venv/bin/python scripts/states"


def test_every_arrow_of_the_picture_is_possible() -> None:
    for old, new, _label in SCRIPT["PATHS"]:
        run = flow_run(old, deployment_id=DEPLOYMENT_ID)
        verdict = decide(run, propose(new), FlowRunFacts(), NOW)
        assert verdict.status is SetStateStatus.ACCEPT, f"{old} → {new}"


def test_every_type_is_explained_and_drawn() -> None:
    drawn = {type_ for old, new, _label in SCRIPT["PATHS"] for type_ in (old, new)}
    assert drawn == set(SCRIPT["MEANING"]) == set(StateType)
