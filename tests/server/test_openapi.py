"""The document of the API says what the table of operations says."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

from reeve.wire.endpoints import ENDPOINTS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "openapi"))


def test_the_document_is_what_the_table_says() -> None:
    written = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")
    assert written == SCRIPT["render"](), "run .venv/bin/python scripts/openapi"


def test_every_operation_is_in_it_once() -> None:
    paths = SCRIPT["document"]()["paths"]
    named = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert sorted(named) == sorted(endpoint.name for endpoint in ENDPOINTS)


def test_every_reference_leads_somewhere() -> None:
    whole = SCRIPT["document"]()
    wanted = set(references(whole))
    assert wanted
    assert wanted <= {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}


def test_the_document_is_json_and_nothing_else() -> None:
    """A NaN or an infinity of a default would be written by Python, and read by nobody else."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(SCRIPT["render"](), parse_constant=refuse)


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []
