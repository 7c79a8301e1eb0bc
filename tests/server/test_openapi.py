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


def test_what_is_made_is_linked_to_what_takes_it() -> None:
    """Also where an object is called by its noun, by two names, or made in a list."""
    paths = SCRIPT["document"]()["paths"].values()
    links = {
        operation["operationId"]: answer["links"]
        for path in paths
        for operation in path.values()
        for answer in operation["responses"].values()
        if "links" in answer
    }
    assert links["create_flow"]["read_flow"] == {
        "operationId": "read_flow",
        "parameters": {"path.id": "$response.body#/id"},
    }
    assert links["create_flow"]["create_flow_run"]["requestBody"] == {"flow_id": "$response.body#/id"}
    assert links["create_flow_run"]["flow_run_states"]["parameters"] == {
        "query.flow_run_id": "$response.body#/id"
    }
    assert links["create_pool_queue"]["delete_pool_queue"]["parameters"] == {
        "path.work_pool_name": "$response.body#/work_pool_name",
        "path.name": "$response.body#/name",
    }
    assert links["create_schedules"]["delete_schedule"]["parameters"] == {
        "path.id": "$response.body#/0/deployment_id",
        "path.schedule_id": "$response.body#/0/id",
    }
    assert "read_tag_limit" not in links["create_slot_limit"]


def test_answers_have_every_field_and_no_other() -> None:
    schemas = SCRIPT["document"]()["components"]["schemas"]
    for name in ("FlowRunResponse", "FlowRunPolicyAnswer", "StateDetailsAnswer", "OrchestrationResult"):
        assert schemas[name]["additionalProperties"] is False
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"])
    assert not schemas["FlowRunPolicy"].get("required")


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []
