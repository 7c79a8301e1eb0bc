"""What the 2.20 agent did, done by reeve's: each test bears the numbers of agent-behaviour.md that it is for.

docs/guides/agent-behaviour.md lists all numbers, also those that have their test elsewhere or bind nobody.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.acceptance.house import alive, until
from tests.agent.conftest import KEY
from tests.agent.post import LIMIT, QUEUES, SLEEP, Post
from tests.agent.standin import WAIT_SECONDS, StandIn, grant

from reeve import settings
from reeve.agent import Agent
from reeve.agent.prepare import Preparation, job_spec, labels
from reeve.core.agents import Agent as KnownAgent
from reeve.core.runs import FlowRunPolicy
from reeve.core.states import StateType
from reeve.core.work import WorkQueue
from reeve.errors import InvalidInputError, NotFoundError
from reeve.server.services.claims import selected
from reeve.wire import endpoints as api
from reeve.wire import filters, queries, requests
from reeve.wire.responses import Infrastructure


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    """One house for all tests that need no other."""
    post = Post(tmp_path_factory.mktemp("post"))
    yield post
    post.house.close()


@pytest.fixture
def here(server: StandIn, tmp_path: Path) -> Callable[..., Agent]:
    """Give a maker of agents in this process, for the stand-in server."""
    environ = {"REEVE_HOME": str(tmp_path / "home"), "REEVE_API_URL": server.url, "REEVE_API_KEY": KEY}

    def make(**arguments: object) -> Agent:
        given = {"work_pool_name": "default-agent-pool", "name": "here", **arguments}
        return Agent(**given, settings=settings.load(environ, {"drain_timeout": WAIT_SECONDS}))  # type: ignore[arg-type]

    return make


# --- §1 construction


def test_a1_arguments_in_their_order() -> None:
    names = [*inspect.signature(Agent).parameters]
    assert names[:7] == [
        "work_queues",
        "work_queue_prefix",
        "work_pool_name",
        "prefetch_seconds",
        "default_infrastructure",
        "default_infrastructure_document_id",
        "limit",
    ]
    assert all(one.default is None for one in [*inspect.signature(Agent).parameters.values()][:7])


def test_a2_one_default_only() -> None:
    block = Infrastructure(type="process", data={})
    with pytest.raises(
        ValueError,
        match=r"Provide only one of 'default_infrastructure' and 'default_infrastructure_document_id'\.",
    ):
        Agent(default_infrastructure=block, default_infrastructure_document_id=uuid4())


def test_a3_queues_are_a_set() -> None:
    assert Agent(["b", "a", "b"]).work_queues == {"a", "b"}
    assert Agent().work_queues == set()


def test_a4_one_prefix_is_a_list_of_one() -> None:
    assert Agent(work_queue_prefix="m").work_queue_prefix == ["m"]
    assert Agent(work_queue_prefix=["m", "n"]).work_queue_prefix == ["m", "n"]


def test_a5_defaults_as_given() -> None:
    block, document = Infrastructure(type="process", data={}), uuid4()
    assert Agent(default_infrastructure=block).default_infrastructure is block
    assert Agent(default_infrastructure_document_id=document).default_infrastructure_document_id == document
    neither = Agent()
    assert (neither.default_infrastructure, neither.default_infrastructure_document_id) == (None, None)


def test_a6_public_attributes() -> None:
    agent = Agent(["a"], ["m"], "p", 5, limit=2)
    assert (agent.work_pool_name, agent.prefetch_seconds, agent.limit) == ("p", 5, 2)
    assert agent.started is False
    assert agent.logger.name == "reeve.agent"


def test_a7_nothing_is_looked_at_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REEVE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REEVE_API_URL", "http://127.0.0.1:1/api")
    Agent([""], "", "no such pool", -1, limit=-1)
    assert not (tmp_path / "home").exists()


def test_a8_nothing_is_deprecated() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Agent(["a"])
    assert caught == []


# --- §2 start, shutdown, context manager


async def test_a10_a12_a13_it_starts_waits_for_its_runs_and_starts_again(
    server: StandIn, here: Callable[..., Agent], tmp_path: Path
) -> None:
    agent = here()
    for round_ in range(2):
        mark = tmp_path / f"mark-{round_}"
        attempt = await server.submit("/bin/sh", "-c", f"sleep 0.3; touch {mark}")
        async with agent as entered:
            assert (entered is agent, agent.started) == (True, True)
            with pytest.raises(RuntimeError, match="Agent is started already"):
                await agent.start()
            await server.until(lambda one=attempt: one.launched)  # type: ignore[misc]
        assert (agent.started, mark.exists()) == (False, True)
        assert attempt.exit.exit_code == 0
        assert len(server.farewells) == round_ + 1


async def test_a11_it_must_be_started(here: Callable[..., Agent]) -> None:
    agent = here()
    with pytest.raises(RuntimeError, match=r"Agent is not started\. Use `async with"):
        await agent.wait()
    with pytest.raises(RuntimeError, match="Agent is not started"):
        agent.stop()
    await agent.shutdown()


async def test_a14_w1_an_error_of_its_user_ends_no_run(
    server: StandIn, here: Callable[..., Agent], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    attempt = await server.submit("/bin/sh", "-c", f"while ! test -e {gate}; do sleep 0.02; done")

    async def fail() -> None:
        async with here():
            await server.until(lambda: attempt.launched)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert attempt.end is None
    async with here() as agent:
        await server.until(lambda: attempt.epoch == server.epoch)
        gate.touch()
        await server.until(lambda: attempt.closed)
        assert agent.started
    assert attempt.exit.exit_code == 0


async def test_w47_a_start_that_fails_holds_nothing(here: Callable[..., Agent]) -> None:
    async with here():
        twin = here()
        with pytest.raises(Exception, match="runs already from this home"):
            await twin.start()
        assert not twin.started
    async with twin:
        assert twin.started


# --- §3 queues


def test_a20_a_named_queue_is_served_in_the_default_pool(post: Post) -> None:
    assert post.did("echo here", queue="second") == ["here"]


def test_a21_a_named_queue_is_served_in_its_pool(post: Post) -> None:
    run_id = post.run("echo deep", queue="deep", work_pool_name="own")
    post.once("deep", work_pool_name="own")
    post.house.ends(run_id)
    assert post.lines(run_id) == ["deep"]


def test_a23_missing_queues_are_made(post: Post) -> None:
    for name in QUEUES:
        assert f"Created work queue '{name}'." in post.log()
    said = post.once("made", work_pool_name="own")
    assert "Created work queue 'made' in work pool 'own'." in said
    assert "Created" not in post.once("made", work_pool_name="own")


def test_a24_a_name_that_cannot_be_ends_the_start(post: Post) -> None:
    with pytest.raises(InvalidInputError, match="a/b"):
        post.once("a/b", work_pool_name="own")


def test_a25_a_name_beside_a_prefix_makes_no_queue(post: Post) -> None:
    said = post.once("nowhere", work_queue_prefix="zz", work_pool_name="own")
    assert "Work queue 'nowhere' with prefix ['zz'] wasn't found" in said
    with pytest.raises(NotFoundError):
        post.call(api.read_pool_queue, work_pool_name="own", name="nowhere")


def test_a26_a28_a29_prefixes_ignore_case_and_follow_what_there_is(post: Post) -> None:
    post.call(api.create_work_queue, requests.WorkQueueCreate(name="hi-1"))
    post.queue("hi-elsewhere", pool="own")
    post.agent("prefixed", "-m", "HI", "--hide-welcome")
    post.says("Matched new work queues: hi-1\n", "prefixed")
    assert post.did("echo matched", queue="hi-1") == ["matched"]
    made = post.call(api.create_work_queue, requests.WorkQueueCreate(name="Hi-2"))
    assert post.did("echo too", queue="Hi-2") == ["too"]
    post.says("Matched new work queues: Hi-2\n", "prefixed")
    post.call(api.delete_work_queue, id=made.id)
    assert post.did("echo still", queue="hi-1") == ["still"]
    post.says("Work queues no longer matched: Hi-2\n", "prefixed")
    assert "Agent started! Looking for work from queue(s) that start with the prefix: ['HI']" in post.log(
        "prefixed"
    )
    assert post.house.stop("prefixed") == 0


def test_a27_a28_prefixes_match_any_number_and_are_no_patterns() -> None:
    queues = [_queue(f"m{number}") for number in range(300)]
    assert len(selected(_known(prefixes=["M"]), queues)) == 300
    assert selected(_known(prefixes=["m%"]), queues) == []


def test_a30_w10_no_names_are_all_queues_and_no_match_is_none(post: Post) -> None:
    run_id = post.run("echo any", queue="idle", work_pool_name="own")
    post.once(work_pool_name="own", work_queue_prefix="matches-nothing")
    assert post.state(run_id) in {"Scheduled", "Late"}
    post.once(work_pool_name="own")
    assert post.lines(run_id) == ["any"]


def test_a31_a152_nothing_named_is_nothing_served(post: Post) -> None:
    start = ("agent", "start", "--name", "nobody")
    assert "No work queues provided!" in post.house.cli(*start, code=1)
    assert "Only one of -q and -m can be given" in post.house.cli(*start, "-q", "a", "-m", "b", code=1)


def test_a46_a_queue_that_vanished_is_named_and_made_again(post: Post) -> None:
    post.agent("watchful", "-q", "kept", "-q", "gone")
    gone = post.call(api.read_work_queue_by_name, name="gone")
    post.call(api.delete_work_queue, id=gone.id)
    post.did("true", queue="kept")
    post.says("Work queue 'gone' not found.", "watchful")
    post.says("Created work queue 'gone'.", "watchful", times=2)
    assert post.did("echo again", queue="gone") == ["again"]
    assert post.house.stop("watchful") == 0


# --- §4 polling and prefetch


def test_a41_a71_a_run_is_launched_before_its_time_if_that_is_wanted(post: Post) -> None:
    early = post.ask(post.deployment("echo early", queue="early"), after=3600)
    post.once("early", prefetch_seconds=60)
    assert post.state(early) == "Scheduled"
    post.once("early", prefetch_seconds=7200)
    assert post.lines(early) == ["early"]


def test_a71_a_flow_launched_early_waits_for_its_time(post: Post) -> None:
    source = "from reeve import flow\n\n@flow\ndef main():\n    print('now')\n"
    name = post.house.deploy(source, "main", "-p", "own", "-q", "clock")
    flow, _, deployment = name.partition("/")
    found = post.call(api.read_deployment_by_name, flow_name=flow, deployment_name=deployment)
    run_id = post.ask(found.id, after=3)
    post.once("clock", work_pool_name="own", prefetch_seconds=60)
    run = post.house.read(run_id)
    assert run.state_name == "Completed"
    started, expected = [datetime.fromisoformat(at or "") for at in (run.start_time, run.expected_start_time)]
    assert started >= expected - timedelta(seconds=0.5)  # a run waits for its time to the second


def test_w19_no_prefetch_can_be_said(post: Post) -> None:
    run_id = post.ask(post.deployment("true", queue="soon"), after=10)
    post.once("soon", prefetch_seconds=0)
    assert post.state(run_id) == "Scheduled"


def test_a42_w18_runs_come_by_priority_then_by_time(post: Post, tmp_path: Path) -> None:
    post.queue("low", priority=20)
    post.queue("high", priority=10)
    line = tmp_path / "line"
    for mark, queue, ago in (("4", "low", 10), ("3", "low", 20), ("2", "high", 10), ("1", "high", 20)):
        post.ask(post.deployment(f"echo {mark} >> {line}", queue, work_pool_name="own"), after=-ago)
    post.once("low", "high", work_pool_name="own", limit=1)
    assert line.read_text().split() == ["1", "2", "3", "4"]


# --- §5 pauses


def test_a50_a153_a_pause_is_said_and_kept(post: Post) -> None:
    post.queue("asleep", is_paused=True)
    run_id = post.run("echo awake", queue="asleep", work_pool_name="own")
    said = post.once("asleep", work_pool_name="own")
    assert "Work queue 'asleep' is paused." in said
    assert (
        "The specified work queues in the work pool 'own' are currently paused. This agent will not" in said
    )
    assert post.state(run_id) in {"Scheduled", "Late"}
    post.call(
        api.update_pool_queue,
        requests.WorkQueueUpdate(is_paused=False),
        work_pool_name="own",
        name="asleep",
    )
    assert "is paused" not in post.once("asleep", work_pool_name="own")
    assert post.lines(run_id) == ["awake"]


def test_a51_a52_w14_a_paused_pool_gives_nothing(post: Post) -> None:
    post.call(api.create_work_pool, requests.WorkPoolCreate(name="shut", type="process", is_paused=True))
    run_id = post.run("echo open", queue="default", work_pool_name="shut")
    post.once("default", work_pool_name="shut")
    assert post.state(run_id) in {"Scheduled", "Late"}
    post.call(api.update_work_pool, requests.WorkPoolUpdate(is_paused=False), name="shut")
    post.once("default", work_pool_name="shut")
    assert post.lines(run_id) == ["open"]


# --- §6 limits


def test_a61_a63_a92_a97_a98_a99_the_limit_is_said_and_cancelling_frees_it(post: Post) -> None:
    runs = [post.run(SLEEP) for _ in range(LIMIT)]
    pids = [post.pid(one) for one in runs]
    waiting = post.run("echo at last")
    post.says(f"Flow run limit reached; {LIMIT} flow runs in progress.")
    assert post.house.read(waiting).state_type == StateType.SCHEDULED
    for one in runs:
        post.cancel(one)
    for one, pid in zip(runs, pids, strict=True):
        ended = post.house.ends(one)
        assert (ended.state_type, ended.state_name) == (StateType.CANCELLED, "Cancelled")
        assert not alive(pid)
        post.says(f"Killing process {ended.infrastructure_pid} for flow run '{one}'")
        post.says(f"Cancelled flow run '{one}'!")
    post.says("flow runs awaiting cancellation.")
    post.house.ends(waiting)
    assert post.lines(waiting) == ["at last"]


async def test_a64_a_limit_of_nothing(
    server: StandIn, here: Callable[..., Agent], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "reeve.agent")
    attempt = await server.submit("/bin/true")
    async with here(limit=0):
        await server.until(lambda: server.polls)
        assert "Flow run limit reached; 0 flow runs in progress." in caplog.text
    assert {poll.free for poll in server.polls} == {0}
    assert attempt.granted == 0
    with pytest.raises(InvalidInputError, match="'limit' must be 0 or more"):
        await here(limit=-1).start()


def test_a65_a_full_queue_gives_nothing(post: Post) -> None:
    post.queue("narrow", concurrency_limit=0)
    run_id = post.run("echo wide", queue="narrow", work_pool_name="own")
    post.once("narrow", work_pool_name="own")
    assert post.state(run_id) in {"Scheduled", "Late"}
    wide = requests.WorkQueueUpdate(concurrency_limit=1)
    post.call(api.update_pool_queue, wide, work_pool_name="own", name="narrow")
    post.once("narrow", work_pool_name="own")
    assert post.lines(run_id) == ["wide"]


def test_a66_two_agents_start_each_run_once(post: Post, tmp_path: Path) -> None:
    line = tmp_path / "line"
    deployment = post.deployment(f"echo $PREFECT__FLOW_RUN_ID >> {line}", queue="shared")
    runs = [post.ask(deployment) for _ in range(10)]
    for name in ("one", "two"):
        post.agent(name, "-q", "shared", "-l", "2")
    for run_id in runs:
        post.house.ends(run_id)
    assert sorted(line.read_text().split()) == sorted(map(str, runs))
    assert [post.house.stop(name) for name in ("one", "two")] == [0, 0]


# --- §7, §9 submission, readiness, ends


def test_a62_a70_a101_a116_a_run_from_its_claim_to_its_end(post: Post) -> None:
    run_id = post.run("echo $$; hostname; exec sleep 300")
    until("both lines", lambda: len(post.lines(run_id)) == 2)
    pid, host = post.lines(run_id)
    post.says(f"Completed submission of flow run '{run_id}'")
    until("its pid to be written", lambda: post.house.read(run_id).infrastructure_pid)
    assert post.house.read(run_id).infrastructure_pid == f"{host}:{pid}"
    assert [one.name for one in post.states(run_id)] == ["Scheduled", "Pending"]
    said = post.log()
    assert said.index(f"Submitting flow run '{run_id}'") < said.index(
        f"Completed submission of flow run '{run_id}'"
    )
    post.cancel(run_id)
    assert post.house.ends(run_id).state_name == "Cancelled"


async def test_a73_what_is_cancelled_before_its_launch_is_not_launched(
    server: StandIn, here: Callable[..., Agent], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.INFO, "reeve.agent")
    gate = tmp_path / "gate"
    server.is_generous = True
    first, second = [
        await server.submit("/bin/sh", "-c", f"while ! test -e {gate}; do sleep 0.02; done") for _ in range(2)
    ]
    async with here(limit=1):
        await server.until(lambda: first.launched and second.granted)
        await server.cancel(second)
        await server.until(lambda: second.closed)
        assert second.launched is None
        assert f"Aborted submission of flow run '{second.grant.run.id}': " in caplog.text
        gate.touch()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            {"comand": "x"},
            "Submission failed. The job variable 'comand' means nothing here. Did you mean 'command'?",
        ),
        ({"nothing.here": 1}, "Submission failed. The job variable 'nothing.here' means nothing here."),
        (
            {"labels.a.b": 1},
            "Submission failed. The job variable 'labels.a.b' cannot be set: 'labels.a' is no mapping",
        ),
        ({"command": []}, "Submission failed. 'command' is empty."),
    ],
)
def test_a76_a82_a111_what_cannot_be_prepared_fails_by_name(
    post: Post, overrides: dict[str, object], says: str
) -> None:
    deployment = post.deployment("true", infra_overrides={"labels": {}, **overrides})
    run_id = post.ask(deployment, empirical_policy=FlowRunPolicy(retries=2, retry_delay=0))  # not for this
    assert post.message(run_id).startswith(says)
    assert post.state(run_id) == "Failed"
    post.says(f"Failed to get infrastructure for flow run '{run_id}'.")
    assert f"Completed submission of flow run '{run_id}'" not in post.log()


def test_a78_what_was_edited_counts_for_the_next_run(post: Post) -> None:
    document = post.block(command=["/bin/sh", "-c", "echo before"])
    deployment = post.deployment(infrastructure_document_id=document)
    for text in ("before", "after"):
        change = requests.BlockDocumentUpdate(data={"command": ["/bin/sh", "-c", f"echo {text}"]})
        post.call(api.update_block_document, change, id=document)
        run_id = post.ask(deployment)
        post.house.ends(run_id)
        assert post.lines(run_id) == [text]


def test_a102_what_cannot_be_launched_is_crashed_after_some_tries(post: Post) -> None:
    run_id = post.run(infra_overrides={"command": ["/no/such/program"]})
    assert "/no/such/program" in post.message(run_id)
    assert post.state(run_id) == "Crashed"
    post.says(f"Failed to submit flow run '{run_id}' to infrastructure.")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 3", "Flow run infrastructure exited with non-zero status code 3."),
        (
            "kill -TERM $$",
            "Flow run infrastructure exited with non-zero status code -15. Cause: ended by SIGTERM",
        ),
        (
            "kill -KILL $$",
            "Flow run infrastructure exited with non-zero status code -9. Cause: killed by SIGKILL",
        ),
        ("exit 0", "exited with code 0"),  # W23: nobody told how it ended
    ],
)
def test_a105_a106_a107_a117_w23_ends_are_told(post: Post, script: str, says: str) -> None:
    run_id = post.run(script)
    assert post.message(run_id).startswith(says)
    assert post.state(run_id) == "Crashed"
    post.says(f"Flow run '{run_id}' ended: ")


# --- §8 preparation


def test_a80_w16_a_default_block_takes_the_deployments_overrides(post: Post) -> None:
    script = ["/bin/sh", "-c", "echo $FROM $OVER"]
    block = {"type": "process", "command": script, "env": {"FROM": "block"}}
    run_id = post.run(queue="plain", infra_overrides={"env.OVER": "deployment"})
    post.once("plain", default_infrastructure=Infrastructure(type="process", data=block))
    assert post.lines(run_id) == ["block deployment"]


def test_a5_a80_a_default_document_is_read_for_each_run(post: Post) -> None:
    document = post.block(command=["/bin/sh", "-c", "echo kept $OVER"])
    run_id = post.run(queue="document", infra_overrides={"env.OVER": "by the server"})
    post.once("document", default_infrastructure_document_id=document)
    assert post.lines(run_id) == ["kept by the server"]


def test_a81_a84_a85_w16_overrides_by_dotted_paths(post: Post) -> None:
    document = post.block(
        command=["/bin/sh", "-c", "echo $A $B $C $PREFECT__FLOW_RUN_ID"], env={"A": "block", "B": "block"}
    )
    deployment = post.deployment(
        infrastructure_document_id=document, infra_overrides={"env.B": "deployment", "env.C": "deployment"}
    )
    run_id = post.ask(deployment, job_variables={"env.C": "run"})
    post.house.ends(run_id)
    assert post.lines(run_id) == [f"block deployment run {run_id}"]


def test_a85_a86_labels_of_the_job_win(tmp_path: Path) -> None:
    granted = grant(["x"], overrides={"labels": {"prefect.io/flow-name": "mine", "team": "a"}})
    assert granted.deployment is not None
    common = Preparation(
        api_url="http://x/api",
        environ={},
        directory=tmp_path,
        kinds={"process"},
        margin_seconds=2,
    )
    job = job_spec(granted, common)
    assert job.name == granted.run.name
    assert job.labels == {
        "prefect.io/flow-run-id": str(granted.run.id),
        "prefect.io/flow-run-name": granted.run.name,
        "prefect.io/version": labels(granted)["prefect.io/version"],
        "prefect.io/deployment-name": granted.deployment.name,
        "prefect.io/deployment-updated": granted.deployment.updated,
        "prefect.io/flow-name": "mine",
        "team": "a",
    }


# --- §10 cancellation


@pytest.mark.parametrize("type_", [StateType.CANCELLING, StateType.CANCELLED])
def test_a90_both_ways_to_say_cancelling(post: Post, type_: StateType) -> None:
    run_id = post.run(SLEEP)
    pid = post.pid(run_id)
    post.cancel(run_id, type_)
    until("its end", lambda: not alive(pid))
    ended = post.house.ends(run_id)
    assert (ended.state_type, ended.state_name) == (StateType.CANCELLED, "Cancelled")


def test_a91_w30_a_run_whose_queue_is_gone_is_cancelled_too(post: Post) -> None:
    post.agent("stays", "-q", "stays", "-q", "goes")
    run_id = post.run(SLEEP, queue="goes")
    pid = post.pid(run_id)
    gone = post.call(api.read_work_queue_by_name, name="goes")
    post.call(api.delete_work_queue, id=gone.id)
    post.cancel(run_id)
    assert post.house.ends(run_id).state_name == "Cancelled"
    assert not alive(pid)
    assert post.house.stop("stays") == 0


def test_a94_w37_what_became_of_its_block_hinders_no_cancel(post: Post) -> None:
    document = post.block(command=["/bin/sh", "-c", SLEEP])
    deployment = post.deployment(infrastructure_document_id=document)
    run_id = post.ask(deployment)
    pid = post.pid(run_id)
    post.call(api.delete_block_document, id=document)
    post.call(api.delete_deployment, id=deployment)
    post.cancel(run_id)
    assert post.house.ends(run_id).state_name == "Cancelled"
    assert not alive(pid)


def test_a95_w33_a_run_with_a_runner_is_cancelled_by_its_agent(post: Post) -> None:
    run_id = post.run(f"{SLEEP}; prefect flow-run execute")
    pid = post.pid(run_id)
    post.cancel(run_id)
    assert post.house.ends(run_id).state_name == "Cancelled"
    assert not alive(pid)


def test_a98_a119_only_who_has_it_can_tell_that_it_is_gone(post: Post) -> None:
    post.agent("lone", "-q", "lone")
    run_id = post.run(SLEEP, queue="lone")
    pid = post.pid(run_id)
    post.house.kill("lone")
    post.cancel(run_id)
    post.did("true")  # another agent is alive, and not asked
    assert post.state(run_id) == "Cancelling"
    os.kill(pid, signal.SIGKILL)
    until("its end", lambda: not alive(pid))
    post.agent("lone", "-q", "lone")
    assert post.house.ends(run_id).state_name == "Cancelled"
    assert post.house.stop("lone") == 0


def test_a120_w34_all_of_the_tree_ends_after_the_grace_period(post: Post) -> None:
    hidden = "setsid sh -c 'trap \"\" TERM; echo $$; exec sleep 300' & wait"
    run_id = post.run(f"trap '' TERM; echo $$; {hidden}", infra_overrides={"grace_seconds": 0.5})
    until("both to run", lambda: len(post.lines(run_id)) == 2)
    pids = [int(line) for line in post.lines(run_id)]
    post.cancel(run_id)
    assert post.house.ends(run_id).state_name == "Cancelled"
    assert [pid for pid in pids if alive(pid)] == []


# --- §11 the process


def test_a110_a113_a_block_of_2_20_as_it_is(post: Post) -> None:
    document = post.block(
        type="process",
        env={"PLAIN": "text", "HOME": None},
        labels={"team": "a"},
        name="named",
        command=["/bin/sh", "-c", "echo $PLAIN ${HOME-gone}; pwd"],
        stream_output=True,
        working_dir="/usr",
    )
    assert post.did(infrastructure_document_id=document) == ["text gone", "/usr"]


def test_a112_w45_the_directory_goes_with_a_success_and_stays_with_a_failure(post: Post) -> None:
    (kept,), (gone,) = post.did("pwd; exit 1"), post.did("pwd")
    assert kept != gone
    until("it to be removed", lambda: not Path(gone).exists())
    assert Path(kept).exists()


def test_a114_commands_are_no_shell_lines(post: Post) -> None:
    assert post.did(infra_overrides={"command": ["/bin/echo", "$HOME", "a;b"]}) == ["$HOME a;b"]
    assert post.did("cat; echo ended") == ["ended"]  # its standard input is empty


def test_a115_output_appears_among_the_agents_own_if_wanted(post: Post) -> None:
    for wanted in (True, False):
        mark = uuid4().hex
        assert post.did(f"echo {mark}", infra_overrides={"stream_output": wanted}) == [mark]
        assert (mark in post.log()) is wanted


def test_w44_output_that_is_no_text_ends_no_run(post: Post) -> None:
    run_id = post.run("printf 'a\\377b\\n'; echo goes on; exit 4")
    assert post.message(run_id).endswith("status code 4.")
    assert post.lines(run_id) == ["a?b", "goes on"]


# --- §17 what can be seen


def test_w20_names_are_quoted_in_addresses(post: Post) -> None:
    odd = "what? #1"
    post.queue(odd)
    run_id = post.run("echo odd", queue=odd, work_pool_name="own")
    assert "paused" in post.house.cli("queues", "pause", odd, "-p", "own").lower()
    post.once(odd, work_pool_name="own")
    assert post.state(run_id) in {"Scheduled", "Late"}
    post.house.cli("queues", "resume", odd, "-p", "own")
    post.once(odd, work_pool_name="own")
    assert post.lines(run_id) == ["odd"]


def test_w41_an_agent_is_known_to_its_server(post: Post) -> None:
    (main,) = [agent for agent in post.call(api.list_agents) if agent.name == "main"]
    assert (sorted(main.queues), main.limit, main.status) == (sorted(QUEUES), LIMIT, "ONLINE")
    assert "main" in post.house.cli("agent", "ls")


def test_w43_a_run_tells_its_crash_itself(post: Post) -> None:
    run_id = post.run("echo last words >&2; exit 9")
    assert "status code 9" in post.message(run_id)
    (attempt,) = post.house.attempts(run_id)
    assert (attempt.exit_code, attempt.output_tail) == (9, "last words")
    assert post.lines(run_id) == ["last words"]
    query = queries.LogQuery(logs=filters.LogFilter(flow_run_id=filters.Ids(any_=[run_id])))
    said = [line.message for line in post.call(api.filter_logs, query) if line.name == "reeve.agent"]
    assert f"Submitting flow run '{run_id}'" in said
    assert f"Completed submission of flow run '{run_id}'" in said


def test_w2_what_comes_back_needs_no_second_slot(post: Post) -> None:
    source = """
from reeve import flow

@flow(retries=2, retry_delay_seconds=0.2)
def again():
    raise RuntimeError("not yet")
"""
    name = post.house.deploy(source, "again", "-p", "own", "-q", "again", file="again.py")
    run_id = post.house.run(name)
    post.agent("single", "-p", "own", "-q", "again", "-l", "1")
    ended = post.house.ends(run_id)
    assert (ended.state_name, ended.run_count) == ("Failed", 3)
    assert len(post.house.attempts(run_id)) == 1
    assert post.did("echo still here", "again", work_pool_name="own") == ["still here"]
    assert post.house.stop("single") == 0


def test_w4_a_paused_run_is_left_alone(post: Post) -> None:
    run_id = post.ask(post.deployment("echo resumed"), after=3600)
    for type_ in (StateType.PAUSED, StateType.SCHEDULED):
        body = requests.SetState(state=requests.StateCreate(type=type_), force=True)
        post.call(api.set_flow_run_state, body, id=run_id)
        if type_ is StateType.PAUSED:
            post.did("true")  # the agent has looked, and lives
            assert post.state(run_id) == "Paused"
    post.house.ends(run_id)
    assert post.lines(run_id) == ["resumed"]


# --- §14 the command line


def test_a150_a155_what_is_said_at_the_start_and_the_end(post: Post) -> None:
    url = f"http://127.0.0.1:{post.house.port}/api"
    start = ("agent", "start", "--name", "greeter", "--run-once")
    said = post.house.cli(*start, "-q", "greeting")
    assert f"agent connected to {url}..." in said
    assert (
        "Agent started! Looking for work from queue(s): greeting of work pool 'default-agent-pool'..." in said
    )
    assert "Agent stopped!" in said
    assert "deprecated" not in said
    said = post.house.cli(*start, "-p", "own", "--hide-welcome")
    assert "agent connected to" not in said
    assert "Agent started! Looking for work from work pool 'own'..." in said


def test_a151_a162_options_and_exit_codes(post: Post) -> None:
    start = ("agent", "start", "--name", "chooser", "--no-run-once", "--run-once")
    post.house.cli(*start, "--work-queue", "options", "--limit", "2")
    help_ = post.house.cli("agent", "start", "--help-all")
    for option in (
        "-q,",
        "-m,",
        "-p,",
        "-l,",
        "--hide-welcome",
        "--run-once / --no-run-once",
        "--prefetch-seconds",
    ):
        assert option in help_
    assert "not found. Pools: " in post.house.cli(*start, "-p", "no such pool", code=1)
    assert "Error" in post.house.cli(*start, "-q", "x", "--limit", "-1", code=2)


def test_w5_a_fresh_server_is_no_reason_to_end(post: Post, tmp_path: Path) -> None:
    fresh = Post.fresh(tmp_path)
    try:
        assert "Agent stopped!" in fresh.cli("agent", "start", "-m", "x", "--run-once")
    finally:
        fresh.close()


def test_w5_a_pool_that_is_gone_may_come_back(post: Post) -> None:
    post.call(api.create_work_pool, requests.WorkPoolCreate(name="fleeting", type="process"))
    post.agent("patient", "-p", "fleeting", "-q", "default")
    post.call(api.delete_work_pool, name="fleeting")
    post.says("The server refuses this agent: ", "patient")
    post.call(api.create_work_pool, requests.WorkPoolCreate(name="fleeting", type="process"))
    assert post.did("echo back", "default", work_pool_name="fleeting") == ["back"]
    assert post.house.stop("patient") == 0


def test_a156_the_command_line_runs_this_very_class(post: Post) -> None:
    """The class is told to say what it was made with; whatever the command runs has to be it."""
    program = """
import json, reeve.agent, reeve.agent.agent as module
from reeve.cli.main import main

class Told(module.Agent):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        print("MADE", json.dumps([args, {k: v for k, v in kwargs.items() if k != "settings"}]), flush=True)

    async def start(self):
        print("STARTED", flush=True)
        await super().start()

assert reeve.agent.Agent is module.Agent
module.Agent = Told
main()
"""
    words = ("agent", "start", "-p", "own", "-q", "a", "-l", "2", "--prefetch-seconds", "5", "--run-once")
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env=post.house.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = next(line for line in done.stdout.splitlines() if line.startswith("MADE"))
    args, kwargs = json.loads(told.removeprefix("MADE "))
    assert args == []
    assert kwargs == {
        "work_queues": ["a"],
        "work_queue_prefix": [],
        "work_pool_name": "own",
        "prefetch_seconds": 5.0,
        "limit": 2,
        "name": None,
        "run_once": True,
    }
    assert "STARTED" in done.stdout
    assert "Agent stopped!" in done.stderr


# --- §17 drivers


def test_a83_w15_w48_runs_without_driver_here_are_left_to_others(post: Post) -> None:
    box = post.block("docker-container", command=["/bin/true"])
    foreign = [
        post.run("true", infrastructure_document_id=box),
        post.run("true", queue="default", work_pool_name="boxes"),
    ]
    assert post.did("echo not held up") == ["not held up"]
    said = post.once("default", work_pool_name="boxes")
    assert "it has no driver for others of work pool 'boxes', which is of the type 'docker'" in said
    post.once("first")
    for run_id in foreign:
        assert post.state(run_id) in {"Scheduled", "Late"}
        explained = post.call(api.explain_flow_run, id=run_id)
        causes = [one.kind for one in explained.causes]
        assert "NO_DRIVER" in causes or "NO_AGENT" in causes, explained
    own = post.block(command=["/bin/sh", "-c", "echo mine"])
    run_id = post.run(queue="default", work_pool_name="boxes", infrastructure_document_id=own)
    post.once("default", work_pool_name="boxes")
    assert post.lines(run_id) == ["mine"]


def _known(**fields: object) -> KnownAgent:
    now = datetime.now(UTC)
    return KnownAgent(
        id=uuid4(),
        created=now,
        name="a",
        host="h",
        machine_id="m",
        boot_id="b",
        epoch=1,
        work_pool_id=uuid4(),
        work_pool_name="p",
        started=now,
        last_seen=now,
        **fields,  # type: ignore[arg-type]
    )


def _queue(name: str) -> WorkQueue:
    now = datetime.now(UTC)
    return WorkQueue(
        id=uuid4(), created=now, updated=now, name=name, work_pool_id=uuid4(), work_pool_name="p"
    )
