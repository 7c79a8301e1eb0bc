"""Runs that are forked from a process which has imported their engine are like cold ones in everything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.drivers.conftest import PATIENCE, Agent, Home, order, until

from reeve.drivers.base import Handle, Launch, NotLaunchedError
from reeve.drivers.process import messages, start, tree

ENGINE = """
import atexit, json, os, random, resource, signal, sys, tempfile, threading, time

SEEN = []
learned, rehearsed_by = [], []

class Told:
    def __init__(self, *words):
        self.words, self.lesson = words, "" if "one" in learned else "one"
    def __call__(self):
        print(json.dumps([*self.words, os.getpid(), learned, rehearsed_by, random.random()]))
        return 0

def rehearse():
    rehearsed_by.append(os.getpid())

def learn(lesson):
    learned.append(lesson)

def warm():
    if os.environ.get("LANG") == "broken":
        raise RuntimeError("no engine today")

def prepare(environ):
    wanted = os.environ.get("PREPARED")
    if wanted == "fails":
        raise RuntimeError("the run may say more")
    return Told(wanted, os.getcwd(), os.getpid()) if wanted else main

def main():
    return int(eval(compile(os.environ["CODE"], "CODE", "exec"), globals()) or globals().get("CODE_EXIT", 0))

if __name__ == "__main__":
    sys.exit(main())
"""

# What a process knows of itself. Numbers that only tell one process from another are left out.
PORTRAIT = """
import ctypes, locale, threading
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
named = [name for name in dir(resource) if name.startswith("RLIMIT_")]
limits = {name: resource.getrlimit(getattr(resource, name)) for name in named}
mask = os.umask(0); os.umask(mask)
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "flags": str(sys.flags), "name": sys.executable,
    "main": sys.modules["__main__"].__spec__.name,
    "environ": {name: text for name, text in os.environ.items() if name != "REEVE_RECORDS"},
    "libc": {name: got.decode() for name in os.environ
        if name != "REEVE_RECORDS" and (got := getenv(name.encode())) is not None},
    "told": sorted(one for one in open("/proc/self/environ").read().split(chr(0)) if one),
    "command": [one for one in open("/proc/self/cmdline").read().split(chr(0)) if one],
    "files": sorted(int(one) for one in os.listdir("/proc/self/fd"))[:-1],
    "input": os.readlink("/proc/self/fd/0"),
    "leader": [os.getpid() == os.getsid(0), os.getpid() == os.getpgid(0)],
    "signals": {str(one): str(signal.getsignal(one)) for one in signal.valid_signals()},
    "blocked": [str(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "limits": limits, "umask": mask, "locale": locale.setlocale(locale.LC_ALL),
    "encoding": sys.stdout.encoding, "threads": threading.active_count(),
    "main thread": threading.current_thread() is threading.main_thread(),
    "thread id": threading.get_native_id() == os.getpid() == threading.main_thread().native_id,
    "parent is shim": b"/shim/" in open(f"/proc/{os.getppid()}/cmdline", "rb").read(),
}, sort_keys=True))
"""


class Warm:
    """An agent whose runs are those of an engine that a template has imported."""

    def __init__(self, agent: Agent, folder: Path, *, working_dir: Path | None) -> None:
        self.agent = agent
        self.folder = folder
        self._working_dir = None if working_dir is None else str(working_dir)
        folder.mkdir()
        (folder / "engine.py").write_text(ENGINE)

    def order(self, code: str, *, module: str | None = "engine", **env: str) -> Launch:
        """Return an order to execute code, in a template's child if there is one."""
        env = {"PYTHONPATH": os.pathsep.join([str(self.folder), *sys.path]), "CODE": code, **env}
        return order(sys.executable, "-m", "engine", env=env, module=module, working_dir=self._working_dir)

    async def launch(self, code: str, **env: str) -> Handle:
        """Launch code in a fork, as soon as the template is ready."""
        deadline = time.monotonic() + PATIENCE
        while not (await self.agent.driver.launch(first := self.order("pass", **env))).details["forked"]:
            await self.agent.exit(first)
            assert time.monotonic() < deadline, "no template became ready"
        handle = await self.agent.driver.launch(self.order(code, **env))
        assert handle.details["forked"]
        return handle

    async def says(self, code: str, **env: str) -> Any:
        """Return what code prints in a fork, as JSON."""
        return await self.printed(await self.launch(code, **env))

    async def printed(self, handle: Handle) -> Any:
        """Return what a run has printed when it has ended well, as JSON."""
        record = await self.agent.exit(handle)
        assert record.code == 0, _error(handle)
        return json.loads(_output(handle))

    async def template(self) -> int:
        """Return the pid of the only template."""
        await self.launch("pass")
        (shim,) = {tree.read(one) for one in self.shims()}
        assert shim
        found = [one for one in tree.children(shim.pid) if b".template" in _command(one)]
        (pid,) = [one for one in found if os.getsid(one) == one]
        return pid

    async def spare(self) -> int:
        """Return the pid of the process that waits for the next order; no other run is about to begin."""
        template, found = await self.template(), list[int]()
        await self.agent.exit(await self.launch("pass"))

        def look() -> bool:
            living = [
                one for pid in self.shims() for child in tree.children(pid) if (one := tree.read(child))
            ]
            found[:] = [one.pid for one in living if one.session == template != one.pid]
            return bool(found)

        await until(look)
        return found[0]

    def shims(self) -> list[int]:
        return [int(one.name) for one in Path("/proc").glob("[0-9]*") if self._is_shim(one)]

    def _is_shim(self, process: Path) -> bool:
        home = self.folder.parent / "agent" / "shim"
        try:
            return os.fsencode(home) in (process / "cmdline").read_bytes()
        except OSError:
            return False

    def log(self) -> str:
        """Return what the shims have logged."""
        shims = (self.folder.parent / "agent" / "shim").iterdir()
        return "".join((one / messages.LOG).read_text() for one in shims)


def _is_gone(pid: int) -> bool:
    return tree.read(pid) is None


def _output(handle: Handle) -> str:
    assert handle.output_dir
    return (handle.output_dir / "stdout").read_text()


def _error(handle: Handle) -> str:
    assert handle.output_dir
    return (handle.output_dir / "stderr").read_text()


def _resident(pid: int) -> int:
    """Return how many bytes of memory a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
async def warm(agent: Agent, tmp_path: Path) -> Warm:
    return Warm(agent, tmp_path / "code", working_dir=tmp_path / "code")


async def test_a_fork_is_what_a_cold_start_is(warm: Warm) -> None:
    # What is relative begins at the directory of the run.
    path = os.pathsep.join(["lib", str(warm.folder), "..", *sys.path])
    forked = await warm.says(PORTRAIT, PYTHONPATH=path)
    launch = warm.order(PORTRAIT, module=None, PYTHONPATH=path)
    handle = await warm.agent.driver.launch(launch)
    assert (await warm.agent.exit(handle)).code == 0, _error(handle)
    cold = json.loads(_output(handle))
    assert not handle.details["forked"]
    for portrait in (forked, cold):
        for told in (portrait["environ"], portrait["libc"], portrait["limits"]):
            told.pop("REEVE_ATTEMPT", None)
            told.pop("RLIMIT_LOCKS", None)
        portrait["told"] = [
            one for one in portrait["told"] if not one.startswith(("REEVE_ATTEMPT", "REEVE_RECORDS="))
        ]
    assert forked == cold


async def test_a_run_has_rehearsed_and_knows_what_those_before_it_learned(warm: Warm) -> None:
    wanted, cwd, prepared_by, own, learned, rehearsed_by, chance = await warm.says("1", PREPARED="yes")
    assert (wanted, cwd) == ("yes", str(warm.folder))
    assert prepared_by == own
    while not learned or rehearsed_by != [own]:
        await warm.spare()  # it is made when no orders come, and one that finds an order does not rehearse
        handle = await warm.agent.driver.launch(warm.order("1", PREPARED="yes"))
        wanted, cwd, _, own, learned, rehearsed_by, other = await warm.printed(handle)
        assert other != chance
        assert rehearsed_by in ([], [own])
    assert learned == ["one"]


async def test_a_spare_that_is_killed_is_replaced(warm: Warm) -> None:
    for _ in range(3):
        os.kill(spare := await warm.spare(), signal.SIGKILL)
        await until(partial(_is_gone, spare))  # else it may still take the order with it
        handle = await warm.agent.driver.launch(warm.order("pass"))
        assert handle.details["forked"], warm.log()
        assert (await warm.agent.exit(handle)).code == 0


async def test_no_spare_is_taken_for_what_a_run_left_behind(warm: Warm) -> None:
    for _ in range(3):
        record = await warm.agent.exit(await warm.launch("time.sleep(0.1)"))
        assert (record.code, record.leftovers) == (0, 0)


async def test_what_cannot_be_prepared_is_the_run_s_own_affair(warm: Warm) -> None:
    assert await warm.says("print(json.dumps('main'))", PREPARED="fails") == "main"


async def test_what_a_run_forks_has_its_own_chance_and_free_locks(warm: Warm) -> None:
    """Which hooks the template's own forks do without, those of its runs have."""
    code = """
import logging
handler, held = logging.StreamHandler(), threading.Event()
threading.Thread(target=lambda: (handler.acquire(), held.set(), time.sleep(60)), daemon=True).start()
held.wait()
reader, writer = os.pipe()
if os.fork() == 0:
    took = handler.lock.acquire(timeout=10)
    os.write(writer, json.dumps([took, random.random(), threading.active_count()]).encode())
    os._exit(0)
print(json.dumps([random.random(), *json.loads(os.read(reader, 999))]))
sys.stdout.flush()
os._exit(0)
"""
    own, took, other, threads = await warm.says(code)
    assert took
    assert threads == 1
    assert own != other


async def test_a_run_leaves_as_an_interpreter_does(warm: Warm) -> None:
    """Threads are waited for, what was registered is called, buffers are written."""
    code = """
atexit.register(print, "exit")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
print("main", end=" ")
CODE_EXIT = 7
"""
    handle = await warm.launch(code)
    assert (await warm.agent.exit(handle)).code == 7
    assert _output(handle) == "main thread\nexit\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "number"),
    [
        ("sys.exit(5)", 5, None),
        ("sys.exit('no')", 1, None),
        ("raise ValueError('boom')", 1, None),
        ("os._exit(9)", 9, None),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", None, signal.SIGTERM),
        ("os.abort()", None, signal.SIGABRT),
        ("import ctypes; ctypes.string_at(0)", None, signal.SIGSEGV),
        ("raise KeyboardInterrupt", None, signal.SIGINT),
    ],
)
async def test_every_end_is_told(warm: Warm, code: str, exit_code: int | None, number: int | None) -> None:
    record = await warm.agent.exit(await warm.launch(code))
    assert (record.code, record.signal) == (exit_code, number)


async def test_what_a_run_starts_is_its_own(warm: Warm) -> None:
    """Processes, pools by fork and by spawn, and a shell that sees the run's environment."""
    code = """
import multiprocessing, subprocess
values = [multiprocessing.get_context(how).Pool(2).map(abs, [-1, -2]) for how in ("fork", "spawn")]
told = subprocess.check_output("echo $REEVE_ATTEMPT $TOKEN", shell=True, text=True)
print(json.dumps([values, told.split()]))
"""
    handle = await warm.launch(code, TOKEN="here")
    assert (await warm.agent.exit(handle)).code == 0, _error(handle)
    assert json.loads(_output(handle)) == [[[1, 2], [1, 2]], [str(handle.attempt), "here"]]


async def test_what_a_run_starts_has_an_environment_longer_than_the_template_s(warm: Warm) -> None:
    code = """
import subprocess
told = lambda: subprocess.check_output("echo ${#LONG} $LAST $NEW ${PATH:+has a path}", shell=True, text=True)
before = told()
del os.environ["LONG"]
os.environ["NEW"] = "new"
print(json.dumps([before, told()]))
"""
    first, then = await warm.says(code, LONG="x" * 60_000, LAST="last")
    assert first.split() == ["60000", "last", "has", "a", "path"]
    assert then.split() == ["0", "last", "new", "has", "a", "path"]


async def test_its_whole_tree_is_ended(warm: Warm, tmp_path: Path) -> None:
    """Children in sessions of their own, with no trace of the run in their environment, end with the run."""
    ready = tmp_path / "ready"
    code = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execve("/bin/sh", ["sh", "-c", "trap '' TERM; echo $$ > {ready}; while :; do sleep 0.1; done"],
                  {{"PATH": os.environ["PATH"]}})
    os._exit(0)
time.sleep(600)
"""
    handle = await warm.launch(code)
    await until(lambda: ready.exists() and ready.read_text())
    await warm.agent.driver.stop(handle, 0.2)
    record = await warm.agent.exit(handle)
    assert record.stopped_by == "agent"
    assert tree.read(int(ready.read_text())) is None


async def test_many_at_once(warm: Warm) -> None:
    await warm.launch("pass")
    launches = [warm.order(f"CODE_EXIT = {n}; print({n})") for n in range(40)]
    handles = await asyncio.gather(*(warm.agent.driver.launch(one) for one in launches))
    assert len({one.details["pid"] for one in handles}) == len(handles)
    assert [(await warm.agent.exit(one)).code for one in launches] == list(range(40))
    assert [_output(one).strip() for one in handles] == [str(n) for n in range(40)]


async def test_a_directory_that_is_missing_is_named(warm: Warm) -> None:
    await warm.launch("pass")
    launch = order(
        sys.executable, "-m", "engine", env=warm.order("pass").env, module="engine", working_dir="/nowhere"
    )
    with pytest.raises(NotLaunchedError, match="'/nowhere' cannot be entered: No such file"):
        await warm.agent.driver.launch(launch)


async def test_a_run_without_a_spool_takes_no_other_s_process(warm: Warm) -> None:
    """It was ordered already when that was found out, and the template answers in the order of the orders."""
    spool = Path(str((await warm.launch("pass")).output_dir)).parent
    launches = [warm.order(f"print({n}, os.getpid())") for n in range(4)]
    (spool / str(launches[1].attempt)).write_text("in the way")
    launched = await asyncio.gather(*map(warm.agent.driver.launch, launches), return_exceptions=True)
    refused = launched.pop(1)
    assert isinstance(refused, NotLaunchedError)
    assert "cannot be written: Not a directory" in refused.message
    for number, handle in zip((0, 2, 3), launched, strict=True):
        assert isinstance(handle, Handle)
        assert (await warm.agent.exit(handle)).code == 0
        assert _output(handle).split() == [str(number), str(handle.details["pid"])]


async def test_what_no_environment_holds_is_refused(warm: Warm) -> None:
    """And the runs of others are none the worse for it."""
    await warm.launch("pass")
    for variables in ({"A=B": "c"}, {"": "c"}, {"A": "b\0c"}, {"A": "\ud800"}):
        with pytest.raises(NotLaunchedError, match="The command or its environment cannot be passed on"):
            await warm.agent.driver.launch(warm.order("pass", **variables))
    assert (await warm.agent.driver.launch(warm.order("pass"))).details["forked"]


async def test_a_template_does_not_grow_with_what_its_runs_are_told(warm: Warm) -> None:
    template, seen = await warm.template(), []
    for _ in range(2):
        launches = [warm.order("pass", TOLD=uuid4().hex * 3000) for _ in range(10)]
        await asyncio.gather(*(warm.agent.driver.launch(one) for one in launches))
        for one in launches:
            await warm.agent.exit(one)
        seen.append(_resident(template))
    assert seen[1] - seen[0] < 4 * 96_000, "it keeps what ten runs were told, 96 kB each"


# --- when a template fails


async def test_runs_outlive_their_template(warm: Warm) -> None:
    template = await warm.template()
    handle = await warm.launch("time.sleep(600)")
    os.kill(template, signal.SIGKILL)
    await until(lambda: "their template failed" in warm.log())
    again = await warm.agent.driver.launch(warm.order("print('cold')"))
    assert not again.details["forked"]
    assert (await warm.agent.exit(again)).code == 0
    assert tree.read(handle.details["pid"])
    await warm.agent.driver.stop(handle, 0)
    assert (await warm.agent.exit(handle)).signal == signal.SIGKILL


async def test_nobody_waits_for_a_template_that_is_stopped(warm: Warm, tmp_path: Path) -> None:
    """What takes its order when it is woken after all has never begun, and is gone."""
    marks = tmp_path / "marks"
    template, spare = await warm.template(), await warm.spare()
    for pid in (template, spare):
        os.kill(pid, signal.SIGSTOP)
    handle = await warm.agent.driver.launch(warm.order(f"open('{marks}', 'a').write('x')"))
    assert not handle.details["forked"]
    assert (await warm.agent.exit(handle)).code == 0
    with contextlib.suppress(
        ProcessLookupError
    ):  # with its leader gone the kernel has hung up on it, and woken it
        os.kill(spare, signal.SIGCONT)
    await until(lambda: tree.read(template) is None and tree.read(spare) is None)
    assert marks.read_text() == "x"


async def test_an_engine_that_cannot_be_imported_is_started_cold(warm: Warm) -> None:
    async def starts_cold() -> bool:
        handle = await warm.agent.driver.launch(warm.order("pass", LANG="broken"))
        assert (await warm.agent.exit(handle)).code == 0
        assert not handle.details["forked"]
        return "no engine today" in warm.log() and "their template failed" in warm.log()

    deadline = time.monotonic() + PATIENCE
    while not await starts_cold():
        assert time.monotonic() < deadline


async def test_an_order_too_long_for_a_template_is_started_cold(warm: Warm) -> None:
    await warm.launch("pass")
    long = warm.order("print(len(os.environ['LONG']))", LONG="x" * 100_000, MORE="y" * 60_000)
    handle = await warm.agent.driver.launch(long)
    assert not handle.details["forked"]
    assert (await warm.agent.exit(handle)).code == 0
    assert _output(handle) == "100000\n"


async def test_all_end_with_their_shim(home: Home, warm: Warm) -> None:
    template = await warm.template()
    handle = await warm.launch("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    everyone = [template, await warm.spare(), handle.details["pid"]]
    os.kill(home.shim(), signal.SIGKILL)
    await warm.agent.exit(handle)
    await until(lambda: not any(tree.read(one) for one in everyone))


async def test_a_shim_without_work_takes_its_template_along(home: Home, warm: Warm) -> None:
    template = await warm.template()
    await warm.agent.driver.close()
    await until(lambda: tree.read(template) is None)


@pytest.mark.parametrize(
    ("name", "alike"),
    [("PYTHONHASHSEED", False), ("LC_ALL", False), ("LD_PRELOAD", False), ("PASSWORD", True)],
)
def test_what_acts_when_an_interpreter_starts_tells_templates_apart(name: str, *, alike: bool) -> None:
    one, other = ({"PATH": "/bin", name: text} for text in ("1", "2"))
    assert (start.template("engine", one) == start.template("engine", other)) is alike
