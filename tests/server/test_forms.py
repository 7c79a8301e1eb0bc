"""Values of a form, checked on the wire; the sentences are proved in tests/core."""

from __future__ import annotations

from tests.server.outside import Outside, made

NUMBER = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


async def test_values_are_checked_with_the_variables_that_there_are(api: Outside) -> None:
    made(await api.post("/variables/", {"name": "v", "value": "many"}))

    async def verdict(value: object) -> object:
        return made(await api.post("/ui/schemas/validate", {"schema": NUMBER, "values": {"x": value}}))

    assert await verdict(1) == {"errors": [], "valid": True}
    for name, sentence in (
        ("v", "'many' is not of type 'integer'"),
        ("w", "Variable 'w' not found in workspace."),
    ):
        value = {"__prefect_kind": "workspace_variable", "variable_name": name}
        assert await verdict(value) == {"errors": [{"property": "x", "errors": [sentence]}], "valid": False}


async def test_what_cannot_be_checked(sqlite_api: Outside) -> None:
    wrong = await sqlite_api.post("/ui/schemas/validate", {"schema": {"type": "objekt"}, "values": {}})
    assert wrong.status_code == 422
    assert wrong.json()["detail"].startswith("Invalid schema: ")
    assert (await sqlite_api.post("/ui/schemas/validate", {"schema": NUMBER})).status_code == 422
