"""The process driver against real processes."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest
from tests.drivers.conftest import PYTHON, Agent, Home, order, script, shims, until

from reeve.drivers.base import OUTPUT_QUOTA, Capability, Driver, Found, NotLaunchedError, Status, cause
from reeve.drivers.process import spool, tree
from reeve.drivers.process.driver import HOST_RESTARTED, SHIM_KILLED, ProcessDriver
from reeve.errors import ConflictError

STUBBORN = "trap '' TERM INT HUP; touch {ready}; while :; do sleep 0.1; done"

# A child that leaves session, parent and environment behind, and does not want to end.
DAEMON = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execve("/bin/sh", ["sh", "-c", sys.argv[1]], {"PATH": os.environ["PATH"]})
    os._exit(0)
os.wait()
"""


def daemon(home: Home, then: str) -> tuple[list[str], Path]:
    """Return a command that starts such a child, then does ``then``; and the file that says it is there."""
    home.path.mkdir(exist_ok=True)
    ready = home.path / "ready"
    loop = f"trap '' TERM; echo $$ > {ready}.new; mv {ready}.new {ready}; while :; do sleep 0.1; done"
    return [*PYTHON, DAEMON + then, loop], ready


async def test_it_is_a_driver(home: Home) -> None:
    driver: Driver = ProcessDriver(home.path)
    assert driver.name == "process"
    assert driver.capabilities == set(Capability)


# --- launch and exit


@pytest.mark.parametrize("code", [0, 3, 255])
async def test_an_exit_code_is_told(agent: Agent, code: int) -> None:
    launch = script(f"exit {code}")
    before = time.time()
    record = await agent.run(launch)
    assert (record.attempt, record.code, record.signal, record.gone) == (launch.attempt, code, None, True)
    assert cause(record) == f"exited with code {code}"
    assert record.stopped_by is None
    assert record.started_at
    assert record.ended_at
    assert before <= record.started_at <= record.ended_at <= time.time()


async def test_a_signal_is_told(agent: Agent) -> None:
    record = await agent.run(script("kill -SEGV $$"))
    assert (record.code, record.signal, record.status_code) == (None, signal.SIGSEGV, -11)
    killed = await agent.run(script("kill -KILL $$"))
    assert (killed.signal, killed.killed) == (signal.SIGKILL, False)
    assert cause(killed).startswith("killed by SIGKILL (kill -9")


async def test_the_use_of_resources_is_told(agent: Agent) -> None:
    work = "x = bytearray(80 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nsum(range(10**6))"
    record = await agent.run(order(*PYTHON, work))
    assert record.cpu_seconds
    assert record.cpu_seconds > 0.01
    assert record.max_rss_kib
    assert 80 << 10 < record.max_rss_kib < 200 << 10


async def test_a_run_has_its_own_environment(home: Home, agent: Agent) -> None:
    launches = [order("env", env={"WHOSE": str(number)}) for number in range(2)]
    for launch in launches:
        await agent.run(launch)
    for number, launch in enumerate(launches):
        lines = set((home.spool(launch) / "stdout").read_text().splitlines())
        own = {
            f"REEVE_ATTEMPT={launch.attempt}",
            f"REEVE_RECORDS={home.spool(launch) / 'records'}",
            f"REEVE_RECORDS_QUOTA={OUTPUT_QUOTA}",
        }
        assert lines == {f"PATH={os.environ['PATH']}", f"WHOSE={number}"} | own


async def test_a_run_has_only_its_own_files_and_session(home: Home, agent: Agent) -> None:
    other = await agent.driver.launch(script("sleep 1000"))
    text = "import os; print(sorted(os.listdir('/proc/self/fd')))"  # 3 is that directory itself
    text += "; print(os.getpid() == os.getpgrp() == os.getsid(0), os.read(0, 1))"
    launch = order(*PYTHON, text)
    await agent.run(launch)
    assert (home.spool(launch) / "stdout").read_text() == "['0', '1', '2', '3']\nTrue b''\n"
    await agent.driver.stop(other, 0)


async def test_a_run_has_the_signals_mask_and_limits_of_a_fresh_process(home: Home, agent: Agent) -> None:
    old = os.umask(0o027)
    try:
        text = "sed -n '/Sig[BIC]/p' /proc/self/status; umask; ulimit -Sn"
        launch = order("bash", "-c", text)
        await agent.run(launch)
    finally:
        os.umask(old)
    blocked, ignored, caught, mask, files = (home.spool(launch) / "stdout").read_text().splitlines()
    assert {blocked.split()[1], ignored.split()[1], caught.split()[1]} == {"0" * 16}
    assert mask == "0027"
    assert files == str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


async def test_a_run_is_in_its_directory_or_in_a_fresh_one(home: Home, agent: Agent, tmp_path: Path) -> None:
    given, fresh = order("pwd", working_dir=str(tmp_path)), script("pwd; touch here")
    await agent.run(given)
    await agent.run(fresh)
    assert (home.spool(given) / "stdout").read_text() == f"{tmp_path}\n"
    assert (home.spool(fresh) / "stdout").read_text() == f"{home.spool(fresh)}/work\n"
    await agent.driver.discard([fresh.attempt])
    assert not home.spool(fresh).exists()


async def test_what_is_not_utf8_reaches_a_run_unharmed(home: Home, agent: Agent) -> None:
    raw = b"caf\xe9 \xff"
    launch = order("printenv", "RAW", env={"RAW": os.fsdecode(raw)})
    await agent.run(launch)
    assert (home.spool(launch) / "stdout").read_bytes() == raw + b"\n"


async def test_what_cannot_be_launched_is_explained(agent: Agent, tmp_path: Path) -> None:
    plain, orphan = tmp_path / "plain", tmp_path / "orphan"
    plain.write_text("true")
    orphan.write_text("#!/no/such/interpreter\n")
    orphan.chmod(0o755)
    for launch, says in (
        (order("no-such-command"), "Command not found: 'no-such-command'"),
        (order("true", working_dir="/no/such"), "The working directory '/no/such' cannot be entered"),
        (order(str(plain)), "cannot be executed: Permission denied"),
        (order(str(orphan)), "The interpreter that"),
        (order("true", "\0"), "embedded null byte"),
        (order("true", "x" * (3 << 20)), "too long for this system"),
        (order(), "names no command"),
    ):
        with pytest.raises(NotLaunchedError, match=says):
            await agent.driver.launch(launch)


async def test_a_run_that_was_not_launched_is_remembered_as_such(home: Home, agent: Agent) -> None:
    launch = order("no-such-command")
    for _ in range(2):
        with pytest.raises(NotLaunchedError, match="Command not found"):
            await agent.driver.launch(launch)
    (found,) = await home.agent().driver.recover()
    assert found.handle is None
    assert found.exit
    assert not found.exit.launched
    assert cause(found.exit).startswith("Command not found")


async def test_a_launch_is_done_once_however_often_it_is_asked_for(home: Home, agent: Agent) -> None:
    launch = script("echo once; sleep 1000")
    handles = await asyncio.gather(*(agent.driver.launch(launch) for _ in range(5)))
    assert all(handle == handles[0] for handle in handles)
    second = home.agent()
    assert await second.driver.launch(launch) == handles[0]
    await agent.driver.stop(handles[0], 0)
    record = await agent.exit(launch)
    assert await agent.driver.launch(launch) == handles[0]
    assert await home.agent().driver.launch(launch) == handles[0]
    assert (home.spool(launch) / "stdout").read_text() == "once\n"
    assert (await agent.driver.observe([handles[0]]))[0].exit == record


async def test_who_launches_what_has_ended_hears_its_end_again(home: Home, agent: Agent) -> None:
    order = script("exit 3")
    record = await agent.run(order)
    await agent.driver.launch(order)
    await until(lambda: agent.told == [record, record])


async def test_the_same_attempt_is_not_launched_again_by_another_shim(home: Home) -> None:
    launch = script("echo once; exit 4")
    first = home.agent(idle_seconds=0)
    handle = await first.driver.launch(launch)
    await first.exit(launch)
    await first.close()
    await until(lambda: not shims(home.path))
    second = home.agent()
    assert await second.driver.launch(launch) == handle
    assert (await second.exit(launch)).code == 4
    assert (home.spool(launch) / "stdout").read_text() == "once\n"


async def test_fifty_launches_at_once(home: Home, agent: Agent) -> None:
    launches = [script(f"echo {number}; exit {number}") for number in range(50)]
    handles = await asyncio.gather(*(agent.driver.launch(launch) for launch in launches))
    assert len({handle.infrastructure_pid for handle in handles}) == 50
    for number, launch in enumerate(launches):
        assert (await agent.exit(launch)).code == number
        assert (home.spool(launch) / "stdout").read_text() == f"{number}\n"
    assert len(agent.told) == 50


# --- stop


async def test_stop_asks_first(agent: Agent) -> None:
    work = (
        "import signal, time, sys; signal.signal(15, lambda *_: sys.exit(7)); print('up'); sys.stdout.flush()"
    )
    handle = await agent.driver.launch(order(*PYTHON, f"{work}\nwhile True: time.sleep(0.1)"))
    assert handle.output_dir
    await until((handle.output_dir / "stdout").exists)
    await agent.driver.stop(handle, 60)
    record = await agent.exit(handle)
    assert (record.code, record.stopped_by, record.killed) == (7, "agent", False)
    assert cause(record) == "exited with code 7 after it was told to stop"


async def test_stop_kills_after_the_grace_period(home: Home, agent: Agent, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    handle = await agent.driver.launch(script(STUBBORN.format(ready=ready)))
    await until(ready.exists)
    began = time.monotonic()
    await agent.driver.stop(handle, 60)
    await agent.driver.stop(handle, 0.5)  # a repeat may shorten it
    record = await agent.exit(handle)
    assert time.monotonic() - began >= 0.5
    assert (record.signal, record.stopped_by, record.killed) == (signal.SIGKILL, "agent", True)
    assert cause(record) == "killed after the grace period, since it was told to stop"
    await agent.driver.stop(handle, 0)  # no error


async def test_stop_ends_children_that_hide(home: Home, agent: Agent) -> None:
    """Double fork, own session, empty environment, deaf to SIGTERM: gone after the grace period."""
    command, ready = daemon(home, "time.sleep(1000)")
    handle = await agent.driver.launch(order(*command))
    await until(ready.exists)
    child = tree.read(int(ready.read_text()))
    assert child
    assert child.session != handle.details["pid"]
    assert child.parent == home.shim()
    await agent.driver.stop(handle, 0.3)
    record = await agent.exit(handle)
    assert (record.gone, record.stopped_by) == (True, "agent")
    assert tree.read(child.pid) is None
    assert tree.census({str(handle.attempt): (0, 0)}) == {str(handle.attempt): []}


async def test_hidden_children_of_one_run_are_not_taken_for_those_of_another(
    home: Home, agent: Agent
) -> None:
    command, ready = daemon(home, "time.sleep(1000)")
    owner = await agent.driver.launch(order(*command))
    await until(ready.exists)
    child = int(ready.read_text())
    others = [await agent.driver.launch(script("sleep 1000")) for _ in range(2)]
    assert (await agent.run(script("exit 0"))).leftovers == 0
    await agent.driver.stop(others[0], 0)
    await agent.exit(others[0])
    assert tree.read(child)
    await agent.driver.stop(owner, 0)
    await agent.exit(owner)
    assert tree.read(child) is None
    assert [one.attempt for one in await running(agent)] == [others[1].attempt]
    await agent.driver.stop(others[1], 0)


async def running(agent: Agent) -> list[Found]:
    return [one for one in await agent.driver.recover() if not one.exit]


async def test_what_a_run_leaves_behind_is_ended(home: Home, agent: Agent) -> None:
    """Also when it holds the run's output open."""
    command, ready = daemon(home, f"while not os.path.exists('{home.path}/ready'): time.sleep(0.01)")
    record = await agent.run(order(*command))
    assert (record.code, record.stopped_by, record.leftovers > 0) == (0, None, True)
    assert tree.read(int(ready.read_text())) is None


async def test_a_tree_that_runs_from_its_hunter_is_ended(agent: Agent, tmp_path: Path) -> None:
    """Each process has one child and ends at once: who looks twice sees two different trees."""
    runner = "import os, signal, sys, time\nsignal.signal(15, signal.SIG_IGN)\nend = time.monotonic() + 20\n"
    runner += "trace = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
    runner += (
        "while time.monotonic() < end:\n  os.write(trace, b'.')\n  if os.fork(): os._exit(0)\n  os.setsid()"
    )
    traces = [tmp_path / str(number) for number in range(4)]
    launches = [order(*PYTHON, runner, str(trace), grace_seconds=0.3) for trace in traces]
    for launch in launches:
        await agent.driver.launch(launch)
    for trace, launch in zip(traces, launches, strict=True):
        assert (await agent.exit(launch)).gone
        steps = trace.stat().st_size
        assert steps > 1
        await agent.run(script("sleep 0.1"))
        assert trace.stat().st_size == steps


# --- output


async def test_output_arrives_byte_for_byte(home: Home, agent: Agent) -> None:
    blob = bytes(range(256)) * 2000
    text = "import sys; b = bytes(range(256)) * 2000"
    text += "; sys.stdout.buffer.write(b); sys.stderr.buffer.write(b[::-1])"
    launch = order(*PYTHON, text)
    record = await agent.run(launch)
    assert (home.spool(launch) / "stdout").read_bytes() == blob
    assert (home.spool(launch) / "stderr").read_bytes() == blob[::-1]
    assert (record.output_bytes, record.output_cut_bytes, record.output_lost_bytes) == (1_024_000, 0, 0)


async def test_output_has_a_quota(home: Home, agent: Agent) -> None:
    launch = script("head -c 150000 /dev/zero; echo end >&2; exit 5", output_quota=100_000)
    record = await agent.run(launch)
    assert (record.code, record.output_bytes, record.output_cut_bytes) == (5, 100_000, 50_004)
    told = b"\n[reeve] output beyond 100000 bytes was cut here\n"
    assert (home.spool(launch) / "stdout").read_bytes() == bytes(100_000) + told
    assert not (home.spool(launch) / "stderr").exists()


async def test_a_full_disk_stops_no_run(home: Home, agent: Agent, tmp_path: Path) -> None:
    """Played with a limit of file size on the shim, which needs no root; lifted while the run goes on."""
    steps = [tmp_path / name for name in ("go", "lost", "again")]
    wait = "while [ ! -e {} ]; do sleep 0.02; done; "
    text = "echo first; " + wait.format(steps[0]) + "head -c 9000 /dev/zero; touch " + f"{steps[1]}; "
    launch = script(text + wait.format(steps[2]) + "echo last; exit 6")
    await agent.driver.launch(launch)
    output = home.spool(launch) / "stdout"
    await until(lambda: output.exists() and output.read_bytes() == b"first\n")
    unlimited = resource.prlimit(home.shim(), resource.RLIMIT_FSIZE, (1006, resource.RLIM_INFINITY))
    steps[0].touch()
    await until(steps[1].exists)
    await until(lambda: output.stat().st_size == 1006)
    resource.prlimit(home.shim(), resource.RLIMIT_FSIZE, unlimited)
    steps[2].touch()
    record = await agent.exit(launch)
    assert (record.code, record.output_bytes, record.output_lost_bytes) == (6, 6 + 1000 + 5, 8000)
    lines = output.read_bytes().replace(b"\0", b"").decode().splitlines()
    assert lines == ["first", "", "[reeve] 8000 bytes of output were lost here: File too large", "last"]


async def test_an_exit_is_told_though_the_disk_is_full(home: Home, agent: Agent) -> None:
    handle = await agent.driver.launch(script("sleep 1000"))
    unlimited = resource.prlimit(home.shim(), resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    await agent.driver.stop(handle, 0)
    record = await agent.exit(handle)
    assert record.killed
    assert not spool.read_exit(str(home.spool(handle)))
    resource.prlimit(home.shim(), resource.RLIMIT_FSIZE, unlimited)
    await until(lambda: spool.read_exit(str(home.spool(handle))))


async def test_a_spool_without_room_stops_no_run(full_disk: Path) -> None:
    home = Home(full_disk / "agent")
    agent = home.agent()
    launch = script("head -c 3000000 /dev/zero; exit 9")
    record = await agent.run(launch)
    assert record.code == 9
    assert record.output_bytes + record.output_lost_bytes == 3_000_000
    assert 0 < record.output_bytes < 1 << 20
    with pytest.raises(NotLaunchedError, match=r"No space left on device.*Free some disk space"):
        await agent.driver.launch(order("true", working_dir="/"))
    (home.spool(launch) / "stdout").unlink()
    assert (await agent.run(order("true"))).code == 0
    await until(lambda: spool.read_exit(str(home.spool(launch))))
    await home.end()
    await home.emptied()


# --- agents come and go

DYING_AGENT = """
import asyncio, sys
from pathlib import Path
from tests.drivers.conftest import script
from reeve.drivers.process.driver import ProcessDriver

async def main():
    driver = ProcessDriver(Path(sys.argv[1]), idle_seconds=0.5)
    for text in sys.argv[2:]:
        print((await driver.launch(script(text))).attempt, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def dying_agent(home: Home, *scripts: str) -> list[str]:
    """Let another process launch these, kill it, and return the attempts."""
    command = [sys.executable, "-c", DYING_AGENT, str(home.path), *scripts]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout
        attempts = [process.stdout.readline().decode().strip() for _ in scripts]
        process.kill()
    return attempts


async def test_runs_outlive_their_agent_and_are_found_again(home: Home, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.02; done; exit 5"
    attempts = dying_agent(home, wait, "sleep 1000")
    gate.touch()
    await until(
        lambda: spool.read_exit(str(home.path / "spool" / attempts[0]))
    )  # it ends while nobody listens
    agent = home.agent()
    ended, running = sorted(await agent.driver.recover(), key=lambda one: attempts.index(str(one.attempt)))
    assert ended.exit
    assert ended.exit.code == 5
    assert running.exit is None
    assert ended.handle
    assert running.handle
    seen = await agent.driver.observe([ended.handle, running.handle])
    assert [one.status for one in seen] == [Status.ENDED, Status.RUNNING]
    await agent.driver.stop(running.handle, 5)
    assert (await agent.exit(running.handle)).signal == signal.SIGTERM
    assert [one.attempt for one in agent.told] == [running.attempt]


async def test_an_exit_is_told_to_every_agent_until_it_is_acknowledged(home: Home, agent: Agent) -> None:
    record = await agent.run(script("exit 5"))
    (found,) = await home.agent().driver.recover()
    assert found.exit == record
    await agent.driver.acknowledge([record.attempt])
    await agent.driver.discard([record.attempt])
    assert await home.agent().driver.recover() == []


async def test_a_running_attempt_is_not_discarded(home: Home, agent: Agent) -> None:
    handle = await agent.driver.launch(script("sleep 1000"))
    with pytest.raises(ConflictError, match="still runs"):
        await agent.driver.discard([handle.attempt])
    await agent.driver.stop(handle, 0)


async def test_an_attempt_nobody_launched_is_unknown(home: Home, agent: Agent) -> None:
    handle = await agent.driver.launch(script("exit 0"))
    await agent.exit(handle)
    stranger = type(handle)(driver="process", attempt=uuid4(), infrastructure_pid="a:1")
    seen = await agent.driver.observe([stranger, handle])
    assert [one.status for one in seen] == [Status.UNKNOWN, Status.ENDED]


async def test_a_lost_connection_is_mended(home: Home, agent: Agent) -> None:
    handle = await agent.driver.launch(script("sleep 1000"))
    (link,) = agent.driver._links.values()  # type: ignore[attr-defined]
    link._transport.abort()
    await link.lost.wait()
    await agent.driver.stop(handle, 5)
    assert (await agent.exit(handle)).stopped_by == "agent"


# --- shims come and go


async def test_a_killed_shim_takes_its_runs_with_it_and_that_is_told(home: Home, agent: Agent) -> None:
    command, ready = daemon(home, "time.sleep(1000)")
    hidden = await agent.driver.launch(order(*command))
    plain = await agent.driver.launch(script("sleep 1000"))
    await until(ready.exists)
    began = time.monotonic()
    os.kill(home.shim(), signal.SIGKILL)
    for handle in (hidden, plain):
        record = await agent.exit(handle)
        assert cause(record) == SHIM_KILLED
        assert record.gone
    assert time.monotonic() - began < 10
    assert tree.read(int(ready.read_text())) is None
    again = await agent.run(script("exit 3"))  # by a new shim
    assert again.code == 3


async def test_a_killed_shim_is_noticed_by_an_agent_that_has_no_file_left(
    home: Home, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await agent.driver.launch(script("sleep 1000"))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    shim, free = home.shim(), os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, most[1]))
    try:
        os.kill(shim, signal.SIGKILL)
        await until(lambda: "trying again" in caplog.text)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert cause(await agent.exit(handle)) == SHIM_KILLED


async def test_what_a_killed_shim_has_left_is_ended_by_the_next_agent(home: Home) -> None:
    command, ready = daemon(home, "time.sleep(1000)")
    first = home.agent()
    handle = await first.driver.launch(order(*command))
    await until(ready.exists)
    await first.close()
    os.kill(home.shim(), signal.SIGKILL)
    await until(lambda: not shims(home.path))
    await until(lambda: tree.read(handle.details["pid"]) is None)  # by the kernel
    assert tree.read(int(ready.read_text()))
    (found,) = await home.agent().driver.recover()
    assert found.handle == handle
    assert found.exit
    assert cause(found.exit) == SHIM_KILLED
    assert tree.read(int(ready.read_text())) is None


async def test_launches_survive_the_death_of_a_shim(home: Home, agent: Agent) -> None:
    await agent.run(script("exit 0"))
    os.kill(home.shim(), signal.SIGKILL)
    launches = [script("exit 0") for _ in range(10)]
    await asyncio.gather(*(agent.driver.launch(launch) for launch in launches))
    for launch in launches:
        assert (await agent.exit(launch)).gone


async def test_another_boot_has_ended_every_run(home: Home, agent: Agent) -> None:
    handle = await agent.driver.launch(order("sleep", "1000"))
    await agent.close()
    os.kill(home.shim(), signal.SIGKILL)
    await until(lambda: not shims(home.path))
    file = home.spool(handle) / spool.LAUNCH
    file.write_text(file.read_text().replace(handle.details["boot_id"], str(uuid4())))
    (found,) = await home.agent().driver.recover()
    assert found.exit
    assert cause(found.exit) == HOST_RESTARTED


async def test_a_retired_shim_forks_no_more_and_ends_with_its_last_run(home: Home, agent: Agent) -> None:
    old = await agent.driver.launch(script("sleep 1000"))
    first = home.shim()
    await agent.driver.retire()
    new = await agent.driver.launch(script("sleep 1000"))
    assert len(shims(home.path)) == 2
    await agent.driver.stop(old, 0)
    await agent.exit(old)
    await until(lambda: first not in shims(home.path))
    seen = await agent.driver.observe([old, new])
    assert [one.status for one in seen] == [Status.ENDED, Status.RUNNING]


async def test_an_upgraded_agent_retires_the_shim_of_the_old_environment(home: Home, agent: Agent) -> None:
    old = await agent.driver.launch(script("sleep 1000"))
    first = home.shim()
    await agent.close()
    upgraded = home.agent()
    upgraded.driver._key = "0" * 16  # type: ignore[attr-defined]
    (found,) = await upgraded.driver.recover()
    assert found.handle == old
    new = await upgraded.driver.launch(script("sleep 1000"))
    assert len(shims(home.path)) == 2
    await upgraded.driver.stop(old, 0)
    await upgraded.exit(old)
    await until(lambda: first not in shims(home.path))
    await upgraded.driver.stop(new, 0)
    await upgraded.exit(new)


async def test_a_shim_that_nobody_needs_ends(home: Home) -> None:
    agent = home.agent(idle_seconds=0.2)
    await agent.run(script("exit 0"))
    assert home.shim()  # an agent is connected
    await agent.close()
    await until(lambda: not shims(home.path))
    assert not any((home.path / "shim").glob("*/socket"))


async def test_a_shim_that_is_told_to_end_ends_its_runs(home: Home, agent: Agent) -> None:
    handle = await agent.driver.launch(script("sleep 1000"))
    os.kill(home.shim(), signal.SIGTERM)
    record = await agent.exit(handle)
    assert cause(record) == "ended by SIGTERM after the shim was told to end"
    await until(lambda: not shims(home.path))


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


async def test_a_shim_is_small(home: Home, agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    await asyncio.gather(*(agent.driver.launch(script("exit 0")) for _ in range(100)))
    await until(lambda: len(agent.told) == 100)
    resident = resident_kib(home.shim())
    with capsys.disabled():
        sys.stdout.write(f"\nshim after 100 runs: {resident / 1024:.1f} MiB resident\n")
    assert resident <= 20 * 1024


async def test_a_deep_home_is_no_obstacle(tmp_path: Path) -> None:
    """The path of a unix socket may have 107 bytes."""
    home = Home(tmp_path / ("x" * 100) / ("y" * 100))
    agent = home.agent()
    assert (await agent.run(script("exit 3"))).code == 3
    await home.end()
    await home.emptied()


async def test_a_home_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "shim").write_text("in the way")
    agent = Home(tmp_path / "agent").agent()
    with pytest.raises(NotLaunchedError, match="The shim could not be started"):
        await agent.driver.launch(order("true", working_dir="/"))
    await agent.close()


async def test_an_exit_record_can_be_read_without_reeve(home: Home, agent: Agent) -> None:
    launch = script("exit 3")
    await agent.run(launch)
    record = json.loads((home.spool(launch) / spool.LAUNCH).read_text().splitlines()[-1])["record"]
    assert (record["code"], record["gone"], record["handle"]["pid"] > 1) == (3, True, True)
