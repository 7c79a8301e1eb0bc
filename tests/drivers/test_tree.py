"""Who belongs to a run, read from real processes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from uuid import uuid4

import pytest
from tests.drivers.conftest import PYTHON, Agent, Home, order, until

from reeve.drivers.process import tree


def test_a_zombie_is_gone() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert tree.read(child) is None
    assert tree.start_time(child) > 0
    assert child in tree.children(os.getpid())
    os.waitpid(child, 0)
    assert child not in tree.children(os.getpid())


async def test_a_process_whose_first_thread_has_ended_is_not_gone(home: Home, agent: Agent) -> None:
    text = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(1000,)).start()"
    handle = await agent.driver.launch(order(*PYTHON, f"{text}; ctypes.CDLL(None).pthread_exit(None)"))

    def first_thread_has_ended() -> bool:
        process = tree.read(handle.details["pid"])
        assert process
        return process.state == "Z"

    await until(first_thread_has_ended)
    assert tree.read(handle.details["pid"])
    assert agent.told == []
    await agent.driver.stop(handle, 5)
    assert (await agent.exit(handle)).signal == signal.SIGTERM


@pytest.mark.parametrize("mark", ["environment", "limit"])
def test_either_mark_is_enough(mark: str) -> None:
    attempt = str(uuid4())
    environment = {tree.MARK: attempt} if mark == "environment" else {}
    code = "import os, sys; sys.stdin.read()"
    if mark == "limit":
        here = os.path.dirname(tree.__file__)  # noqa: PTH120 - of a child without pathlib
        marked = f"import tree; tree.set_limit_mark(0, {attempt!r})"
        code = f"import sys; sys.path.append({here!r}); {marked}; {code}"
    command = [*PYTHON, f"{code}; print('never')"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        while not tree.census({attempt: (0, 0)})[attempt]:
            assert child.poll() is None
        (member,) = tree.census({attempt: (0, 0)})[attempt]
        assert member.pid == child.pid
        assert tree.census({str(uuid4()): (0, 0)}).popitem()[1] == []
        assert tree.send(member, signal.SIGKILL)
    assert not tree.send(member, signal.SIGKILL)


def test_a_session_counts_while_its_leader_lives() -> None:
    attempt = str(uuid4())
    code = "import os, time; print(os.fork(), flush=True); time.sleep(1000)"
    command = [sys.executable, "-I", "-S", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout
        child = max(int(leader.stdout.readline()), int(leader.stdout.readline()))
        begun = tree.start_time(leader.pid)
        found = tree.census({attempt: (leader.pid, begun)})[attempt]
        assert {one.pid for one in found} == {leader.pid, child}
        assert tree.census({attempt: (leader.pid, begun + 1)})[attempt] == []
        leader.kill()
        leader.wait()
        assert tree.census({attempt: (leader.pid, begun)})[attempt] == []
        os.kill(child, signal.SIGKILL)


def test_a_pid_given_to_another_is_not_signalled() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        process = tree.read(child.pid)
        assert process
        process.start_time -= 1
        assert not tree.send(process, signal.SIGKILL)
        process.start_time += 1
        assert tree.send(process, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


def test_what_resists_is_described() -> None:
    process = tree.read(os.getpid())
    assert process
    assert tree.describe([process]) == f"pid {os.getpid()}"
    assert tree.describe([process] * 6).endswith(", …")


@pytest.mark.parametrize("look", [tree.read_environment_mark, tree.read_limit_mark])
def test_whoever_has_no_file_left_takes_nobody_for_unmarked(look: Callable[[int], object]) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, most[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            look(os.getpid())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
