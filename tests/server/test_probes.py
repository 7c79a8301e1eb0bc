"""What a server says of itself to whoever restarts, routes to or watches it."""

from __future__ import annotations

import pytest
from tests.server.outside import Outside, bearer, serving

from reeve.server.services.health import clock_warning


async def test_a_server_says_that_it_lives_and_is_ready(api: Outside) -> None:
    for path in ("/livez", "/readyz"):
        answer = await api.http.get(path)
        assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_figures_count_what_is_there(api: Outside) -> None:
    await api.pool("p", type="process")
    deployment = await api.deployment(work_pool_name="p")
    for _ in range(3):
        await api.run_of(deployment)
    await api.grant(pool="p")
    answer = await api.http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    lines = answer.text.splitlines()
    assert 'reeve_agents{status="online"} 1' in lines
    assert "reeve_server_open_attempts 1" in lines
    assert "reeve_server_due_runs 2" in lines
    values = {name: value for name, _, value in (line.rpartition(" ") for line in lines)}
    assert abs(float(values["reeve_server_clock_offset_seconds"])) < 2


async def test_figures_are_for_whoever_has_the_key(sqlite_url: str) -> None:
    async with serving(sqlite_url, key="the key") as api:
        nobody = {"Authorization": ""}
        for path, status in (("/livez", 200), ("/readyz", 200), ("/metrics", 401)):
            assert (await api.http.get(path, headers=nobody)).status_code == status
        assert (await api.http.get("/metrics", headers=bearer("the key"))).status_code == 200
        assert (await api.http.get("/livez", headers={"Host": "evil.example"})).status_code == 403


async def test_a_server_that_stops_is_not_ready(sqlite_url: str) -> None:
    async with serving(sqlite_url) as api:
        api.ctx.stopping.set()
        answer = await api.http.get("/readyz")
        assert answer.status_code == 503
        assert "stopping" in answer.text


@pytest.mark.parametrize(
    ("offset", "says"), [(0.5, None), (-1.9, None), (3.25, "3.2 s ahead of"), (-600.0, "600.0 s behind")]
)
def test_a_clock_that_is_off_is_told(offset: float, says: str | None) -> None:
    warning = clock_warning(offset)
    assert (warning is None) == (says is None)
    assert says is None or says in (warning or "")
