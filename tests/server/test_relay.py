"""What an agent passes on for the processes of its runs: served together, each under its own key."""

from __future__ import annotations

from uuid import uuid4

from tests.server.outside import SECRET, Json, Outside, bearer, made, serving

from reeve.server.services.tokens import token_of

KEY = "the key of the home"
RUNNING = {"state": {"type": "RUNNING"}}


def call(path: str, body: object = None, *, key: str | None = KEY, method: str = "POST") -> Json:
    return {"method": method, "path": path, "key": key, "body": body}


async def passed_on(api: Outside, *calls: Json) -> list[Json]:
    replies: list[Json] = made(await api.post("/attempts/calls", {"calls": [*calls]}))
    assert len(replies) == len(calls)
    return replies


async def test_answers_are_those_of_the_requests_themselves(database_url: str) -> None:
    async with serving(database_url, key=KEY) as api:
        run = await api.run()
        entered, read, none, wrong = await passed_on(
            api,
            call(f"/flow_runs/{run['id']}/set_state", RUNNING),
            call(f"/flow_runs/{uuid4()}", method="GET"),
            call(f"/flow_runs/{run['id']}", {"name": "renamed"}, method="PATCH"),
            call("/flows/", {"name": 7}),
        )
        assert (entered["status"], entered["body"]["status"]) == (201, "ACCEPT")
        assert (read["status"], read["body"]["detail"]) == (404, "Flow run not found")
        assert (none["status"], none["body"]) == (204, None)
        assert wrong["status"] == 422
        after = (await api.get(f"/flow_runs/{run['id']}")).json()
        assert (after["name"], after["state"]["type"]) == ("renamed", "RUNNING")


async def test_each_has_the_rights_of_its_own_key(sqlite_url: str) -> None:
    async with serving(sqlite_url, key=KEY) as api:
        await api.pool("p")
        run = await api.run_of(await api.deployment(work_pool_name="p"))
        grant = await api.grant(pool="p")
        path = f"/flow_runs/{run['id']}/set_state"
        other = token_of(SECRET, uuid4())
        replies = await passed_on(
            api,
            call(path, RUNNING, key=None),
            call(path, RUNNING, key="another key"),
            call(path, RUNNING, key=token_of(b"another secret", uuid4())),
            call(path, RUNNING, key=other),
            call("/work_pools/filter", {}, key=grant["token"]),
            call(path, RUNNING, key=grant["token"]),
        )
        assert [reply["status"] for reply in replies] == [401, 401, 401, 403, 403, 201]
        # Who passes on needs no key, and lends none.
        bare = await api.post(
            "/attempts/calls", {"calls": [call(path, RUNNING, key=None)]}, headers=bearer(other)
        )
        assert [reply["status"] for reply in bare.json()] == [401]


async def test_what_waits_for_news_or_is_unknown_is_not_taken(sqlite_url: str) -> None:
    async with serving(sqlite_url, key=KEY) as api:
        run = await api.run()
        replies = await passed_on(
            api,
            call(f"/agents/{uuid4()}/poll", {"epoch": 1, "free": 1}),
            call(f"/flow_runs/{run['id']}/input/k", method="GET"),
            call("/attempts/calls", {"calls": []}),
            call("/nothing/there"),
            call("nothing"),
        )
        assert [reply["status"] for reply in replies] == [0] * 5


async def test_what_an_agent_reports_goes_with_what_its_runs_ask(database_url: str) -> None:
    async with serving(database_url, key=KEY) as api:
        await api.pool("p")
        deployment = await api.deployment(work_pool_name="p")
        runs = [await api.run_of(deployment) for _ in range(2)]
        grants = [await api.grant(pool="p") for _ in runs]
        told = [
            {
                "id": grant["attempt_id"],
                "reports": [{"kind": "launched", "seq": 1, "handle": {}, "infrastructure_pid": "h:7"}],
            }
            for grant in grants
        ]
        states = [
            call(f"/flow_runs/{grant['run']['id']}/set_state", RUNNING, key=grant["token"])
            for grant in grants
        ]
        reports = [call("/attempts/reports", {"epoch": 1, "attempts": [one]}) for one in told]
        late = call("/attempts/reports", {"epoch": 0, "attempts": told[:1]})
        bare = call("/attempts/reports", {"epoch": 1, "attempts": told}, key=grants[0]["token"])
        replies = await passed_on(api, *states, *reports, late, bare)
        assert [reply["status"] for reply in replies] == [201, 201, 200, 200, 409, 403]
        assert [reply["body"][0]["next_seq"] for reply in replies[2:4]] == [2, 2]
        for grant in grants:
            run = made(await api.get(f"/flow_runs/{grant['run']['id']}"))
            assert (run["infrastructure_pid"], run["state"]["type"]) == ("h:7", "RUNNING")
