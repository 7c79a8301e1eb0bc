"""Notification policies on the wire, and what their receivers hear of (api-contract §4, §10)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.server.outside import Json, Outside, made

from reeve.server.loops.notifier import Notifier
from reeve.server.services import notify
from reeve.server.services.hub import NOTIFICATIONS_TOPIC

POLICIES = "/flow_run_notification_policies"
MISSING = (404, {"detail": "flow run notification policy not found"})


async def block(api: Outside, slug: str, **data: Any) -> UUID:
    """Make a block document that holds an address."""
    known = await api.get(f"/block_types/slug/{slug}")
    kind = known if known.is_success else await api.post("/block_types/", {"name": slug, "slug": slug})
    of_type = {"block_type_id": made(kind)["id"]}
    schema = made(await api.post("/block_schemas/", {"fields": {"title": slug}, **of_type}))
    body = {"name": f"n-{uuid4().hex}", "data": data, "block_schema_id": schema["id"], **of_type}
    return UUID(made(await api.post("/block_documents/", body))["id"])


async def policy(api: Outside, document_id: UUID, **fields: Any) -> Json:
    body = {"state_names": [], "tags": [], "block_document_id": str(document_id), **fields}
    shown: Json = made(await api.post(f"{POLICIES}/", body))
    return shown


async def queued(api: Outside) -> list[int]:
    """Return how often each notification that waits was tried."""
    found = await api.ctx.store.read(
        lambda tx: tx.fetch("select tries from flow_run_notifications order by cursor")
    )
    return [row["tries"] for row in found]


async def age(api: Outside) -> None:
    """Have all that waits be due."""
    await api.ctx.store.write(lambda tx: tx.execute("update flow_run_notifications set due = 0"))


async def deliver(api: Outside, *, private: bool = True) -> None:
    await Notifier(api.ctx, 4, page="http://reeve.test", private=private).round()


class Receiver:
    """An HTTP server that keeps what it is told and answers as a test wants."""

    def __init__(self) -> None:
        self.answer = 200
        self.heard: list[tuple[str, dict[str, str], Any]] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        self.heard.append((head[0], headers, json.loads(body)))
        writer.write(f"HTTP/1.1 {self.answer} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def listening(serve: Any) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with listening(receiver.serve) as receiver.port:
        yield receiver


async def test_a_policy_is_made_changed_and_deleted(api: Outside) -> None:
    document_id, other_id = await block(api, "slack-webhook"), await block(api, "webhook")
    body = {"state_names": ["Failed"], "tags": ["t"], "block_document_id": str(document_id)}
    answer = await api.post(f"{POLICIES}/", body)
    first = answer.json()
    assert answer.status_code == 201
    assert first == {
        **body,
        "id": first["id"],
        "created": first["created"],
        "updated": first["created"],
        "is_active": True,
        "message_template": None,
    }
    path = f"{POLICIES}/{first['id']}"
    assert made(await api.get(path)) == first
    change = {"is_active": False, "block_document_id": str(other_id), "message_template": "{flow_name}"}
    changed = await api.patch(path, {**change, "tags": None})
    assert (changed.status_code, changed.content) == (204, b"")
    after = made(await api.get(path))
    assert after == {**first, **change, "updated": after["updated"]}
    await api.patch(path, {"message_template": None, "state_names": []})
    after = made(await api.get(path))
    assert (after["message_template"], after["state_names"]) == (None, [])
    gone = await api.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    for missing in (await api.get(path), await api.delete(path)):
        assert (missing.status_code, missing.json()) == MISSING
    missing = await api.patch(path, {"is_active": True})
    assert missing.json() == {"detail": "Flow run notification policy <built-in function id> not found"}
    assert missing.status_code == 404


async def test_policies_that_cannot_be(api: Outside) -> None:
    document_id = await block(api, "slack-webhook")
    known = await policy(api, document_id)
    whole = {"state_names": [], "tags": [], "block_document_id": str(document_id)}
    for key in whole:
        less = {name: value for name, value in whole.items() if name != key}
        assert (await api.post(f"{POLICIES}/", less)).status_code == 422
    for more in ({"color": "red"}, {"message_template": "{secret}"}):
        refused = await api.post(f"{POLICIES}/", {**whole, **more})
        assert refused.status_code == 422
        assert [fault["loc"] for fault in refused.json()["exception_detail"]] == [["body", *more]]
        assert (await api.patch(f"{POLICIES}/{known['id']}", more)).status_code == 422
    nowhere = {"block_document_id": str(uuid4())}
    for answer in (
        await api.post(f"{POLICIES}/", {**whole, **nowhere}),
        await api.patch(f"{POLICIES}/{known['id']}", nowhere),
    ):
        assert (answer.status_code, answer.json()["detail"][:14]) == (409, "Data integrity")


async def test_policies_are_listed(api: Outside) -> None:
    document_id = await block(api, "slack-webhook")
    active = (await policy(api, document_id))["id"]
    idle = (await policy(api, document_id, is_active=False))["id"]

    async def ids(filter_: Json | None = None, **body: Any) -> list[str]:
        query = {"flow_run_notification_policy_filter": filter_, **body}
        return [each["id"] for each in made(await api.post(f"{POLICIES}/filter", query))]

    both = sorted([active, idle])
    assert await ids() == both
    assert await ids({}) == [idle]  # api-contract §6
    assert await ids({"is_active": {"eq_": True}}) == [active]
    assert await ids({"is_active": None}) == both
    assert await ids(limit=1, offset=1) == both[1:]
    unknown: Json = {"flow_run_notification_policy_filter": {"tags": []}}
    assert (await api.post(f"{POLICIES}/filter", unknown)).status_code == 422


async def test_only_wanted_states_are_queued(api: Outside) -> None:
    document_id = await block(api, "slack-webhook")
    await policy(api, document_id, state_names=["Running"], tags=["a", "b"])
    await policy(api, document_id, is_active=False)
    wanted, other = await api.run(tags=["b", "c"]), await api.run(flow="g", tags=["c"])
    with api.ctx.hub.waiting(NOTIFICATIONS_TOPIC) as told:
        for run in (other, wanted):
            made(await api.enter(run, "RUNNING"))
        await asyncio.wait_for(told.wait(), 10)
        made(await api.enter(wanted, "COMPLETED"))
    assert await queued(api) == [0]
    run_id = await api.ctx.store.read(
        lambda tx: tx.fetchval(
            "select s.flow_run_id from flow_run_notifications n join flow_run_states s on s.id = n.state_id"
        )
    )
    assert str(run_id) == wanted["id"]
    await api.delete(f"/flow_runs/{wanted['id']}")
    assert await queued(api) == []


async def test_slack_is_told(api: Outside, receiver: Receiver) -> None:
    url = f"http://localhost:{receiver.port}/services/T?x=1"
    template = "{flow_name}|{flow_run_name}|{flow_run_state_name}|{flow_run_state_message}|{flow_run_url}"
    await policy(api, await block(api, "slack-webhook", url=url), message_template=template)
    run = await api.run(name="r")
    made(await api.enter(run, "FAILED", message="Boom {flow_id}", force=True))
    await deliver(api)
    page = f"http://reeve.test/flow-runs/flow-run/{run['id']}"
    assert [content for _, _, content in receiver.heard if "Failed" in content["text"]] == [
        {"text": f"f|r|Failed|Boom {{flow_id}}|{page}"}
    ]
    line, headers, _ = receiver.heard[0]
    assert line == "POST /services/T?x=1 HTTP/1.1"
    assert headers["host"] == f"localhost:{receiver.port}"
    assert await queued(api) == []


async def test_a_webhook_is_told_as_its_block_says(api: Outside, receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{receiver.port}/hook"
    document_id = await block(api, "webhook", url=url, method="PUT", headers={"X-Key": "k"})
    await policy(api, document_id, state_names=["Running"])
    made(await api.enter(await api.run(name="a\nb"), "RUNNING"))
    await deliver(api)
    ((line, headers, content),) = receiver.heard
    assert (line, headers["x-key"]) == ("PUT /hook HTTP/1.1", "k")
    assert content["subject"] == "f/a b: Running"
    assert "Running" in content["body"]


async def test_mail_is_sent(api: Outside) -> None:
    heard: list[str] = []

    async def smtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        data = False
        while raw := await reader.readline():
            line = raw.decode().rstrip("\r\n")
            heard.append(line)
            if data:
                data = line != "."
                answer = b"" if data else b"250 ok\r\n"
            elif line.lower() == "data":
                data, answer = True, b"354 go on\r\n"
            else:
                answer = b"221 bye\r\n" if line.lower() == "quit" else b"250 ok\r\n"
            writer.write(answer)
            if not data and line.lower() == "quit":
                break
        writer.close()

    async with listening(smtp) as port:
        document_id = await block(
            api,
            "email",
            smtp_server="127.0.0.1",
            smtp_port=port,
            smtp_type="INSECURE",
            email_from="reeve@test",
            email_to=["a@test", "b@test"],
        )
        await policy(api, document_id, state_names=["Running"])
        made(await api.enter(await api.run(name="r"), "RUNNING"))
        await deliver(api)
    assert [line for line in heard if line.lower().startswith("rcpt")] == [
        "rcpt TO:<a@test>",
        "rcpt TO:<b@test>",
    ]
    assert "Subject: f/r: Running" in heard
    assert await queued(api) == []


async def test_who_does_not_answer_is_told_later_and_then_no_more(api: Outside, receiver: Receiver) -> None:
    document_id = await block(api, "slack-webhook", url=f"http://127.0.0.1:{receiver.port}/")
    await policy(api, document_id, state_names=["Running"])
    receiver.answer = 500
    run = await api.run()
    made(await api.enter(run, "RUNNING"))
    for tries in range(1, 6):
        await deliver(api)
        await deliver(api)  # nothing is due
        assert await queued(api) == [tries]
        assert len(receiver.heard) == tries
        await age(api)
    await deliver(api)
    assert (len(receiver.heard), await queued(api)) == (6, [])


async def test_who_answers_again_is_told(api: Outside, receiver: Receiver) -> None:
    document_id = await block(api, "slack-webhook", url=f"http://127.0.0.1:{receiver.port}/")
    await policy(api, document_id, state_names=["Running"])
    receiver.answer = 503
    made(await api.enter(await api.run(), "RUNNING"))
    await deliver(api)
    receiver.answer = 204
    await age(api)
    await deliver(api)
    assert (len(receiver.heard), await queued(api)) == (2, [])


async def test_one_bad_receiver_does_not_stop_the_others(api: Outside, receiver: Receiver) -> None:
    for slug, data in (
        ("unheard-of", {}),
        ("email", {"smtp_server": "127.0.0.1", "smtp_port": "none"}),
        ("webhook", {"url": "ftp://127.0.0.1/"}),
        ("slack-webhook", {"url": f"http://127.0.0.1:{receiver.port}/"}),
    ):
        await policy(api, await block(api, slug, **data), state_names=["Running"])
    made(await api.enter(await api.run(), "RUNNING"))
    await deliver(api)
    assert len(receiver.heard) == 1
    assert await queued(api) == [1, 1, 1]


async def test_private_addresses_are_told_nothing_unless_allowed(api: Outside, receiver: Receiver) -> None:
    document_id = await block(api, "slack-webhook", url=f"http://localhost:{receiver.port}/")
    await policy(api, document_id, state_names=["Running"])
    made(await api.enter(await api.run(), "RUNNING"))
    await deliver(api, private=False)
    assert (receiver.heard, await queued(api)) == ([], [1])


async def test_a_block_may_refuse_private_addresses_itself(receiver: Receiver) -> None:
    message, data = notify.Message("s", "b"), {"url": f"http://127.0.0.1:{receiver.port}/"}
    with pytest.raises(notify.NotSentError, match="private network"):
        await notify.send("webhook", {**data, "allow_private_urls": False}, message, private=True)
    await notify.send("webhook", {**data, "allow_private_urls": True}, message, private=True)
    assert len(receiver.heard) == 1


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:192.168.0.1]", "0.0.0.0", "224.0.0.1"],
)
async def test_addresses_that_are_refused(host: str) -> None:
    message = notify.Message("s", "b")
    with pytest.raises(notify.NotSentError, match="private network"):
        await notify.send("webhook", {"url": f"https://{host}/"}, message, private=False)
    mail = {"smtp_server": host.strip("[]"), "email_from": "a@test", "email_to": "b@test"}
    with pytest.raises(notify.NotSentError, match="private network"):
        await notify.send("email", mail, message, private=False)


async def test_runs_that_a_schedule_makes_are_queued_too(api: Outside) -> None:
    made_policy = await policy(
        api, await block(api, "webhook", url="http://example.invalid/"), state_names=[]
    )
    assert made_policy["is_active"]
    schedule = {"schedule": {"interval": 86400, "anchor_date": "2100-01-01T00:00:00+00:00"}}
    deployment = await api.deployment(schedules=[schedule])
    made(await api.post(f"/deployments/{deployment['id']}/schedule", {"max_runs": 2, "min_runs": 2}))
    assert len(await queued(api)) == 2
