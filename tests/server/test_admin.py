"""The server's own routes: settings, resets, templates (api-contract §4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.server.outside import Outside, made, serving

from reeve.server.app import shown_settings
from reeve.server.storage.admin import TABLES
from reeve.settings import load


async def test_settings_in_2_20s_names(sqlite_api: Outside, tmp_path: Path) -> None:
    assert made(await sqlite_api.get("/admin/settings")) == {
        "PREFECT_API_DEFAULT_LIMIT": 200,
        "PREFECT_EXPERIMENTAL_EVENTS": False,
        "PREFECT_SERVER_ANALYTICS_ENABLED": False,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": False,
    }
    environ = {
        "REEVE_HOME": str(tmp_path),
        "REEVE_DATABASE_URL": "postgresql://u:hidden@host/db",
        "REEVE_API_KEY": "secret",
    }
    shown = shown_settings(load(environ))
    assert shown["PREFECT_HOME"] == str(tmp_path)
    assert shown["PREFECT_SERVER_API_PORT"] == 4200
    assert shown["PREFECT_API_DATABASE_CONNECTION_URL"] == "********"
    assert "hidden" not in str(shown)
    assert "secret" not in str(shown)


@pytest.mark.parametrize("what", ["clear", "drop", "create"])
async def test_resets_need_a_server_that_allows_them(sqlite_url: str, what: str) -> None:
    path = f"/admin/database/{what}"
    async with serving(sqlite_url) as api:
        for body in ({}, {"confirm": True}):
            refused = await api.post(path, body)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            assert "--allow-reset" in refused.json()["detail"]
    async with serving(sqlite_url, allow_reset=True) as api:
        for unsure in (None, {}, {"confirm": False}):
            assert (await api.post(path, unsure)).status_code == 400
        assert (await api.post(path, {"confirm": "perhaps"})).status_code == 422
        done = await api.post(path, {"confirm": True})
        assert (done.status_code, done.content) == (204, b"")


async def test_dropped_and_created_it_is_as_new(database_url: str) -> None:
    async with serving(database_url, allow_reset=True) as api:
        await api.deployment(work_queue_name="q")
        await api.run()
        assert made(await api.post("/block_types/install_system_block_types")) is None
        types = made(await api.post("/block_types/filter"))
        assert types
        await api.post("/admin/database/drop", {"confirm": True})
        for path in ("/flows/filter", "/work_pools/filter", "/block_types/filter"):
            assert made(await api.post(path)) == []
        await api.post("/admin/database/create", {"confirm": True})
        again = made(await api.post("/block_types/filter"))
        assert [each["slug"] for each in again] == [each["slug"] for each in types]
        assert (await api.post("/flows/", {"name": "f"})).status_code == 201


async def test_every_table_is_emptied(sqlite_api: Outside) -> None:
    found = await sqlite_api.ctx.store.read(
        lambda tx: tx.fetch(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
        )
    )
    assert {row["name"] for row in found} == {*TABLES, "installation", "schema_version"}


@pytest.mark.parametrize("template", ["", "text", "{{ a }} {% if b %}c{% endif %}"])
async def test_templates_that_hang_together(sqlite_api: Outside, template: str) -> None:
    answer = await sqlite_api.post("/templates/validate", template)
    assert (answer.status_code, answer.content) == (204, b"")


async def test_templates_that_do_not(sqlite_api: Outside) -> None:
    template = "a\n{% if b %}"
    answer = await sqlite_api.post("/templates/validate", template)
    assert answer.status_code == 422
    message: Any = answer.json()["error"].pop("message")
    assert "'if'" in message
    assert answer.json()["error"] == {"line": 2, "message": message, "source": template}
    assert (await sqlite_api.post("/templates/validate")).status_code == 204
    assert (await sqlite_api.post("/templates/validate", content=b"null")).status_code == 204
    for no_text in (b"{}", b"[]", b"1"):
        assert (await sqlite_api.post("/templates/validate", content=no_text)).status_code == 422, no_text
