"""What a forked run can never see of another, whether that one lives beside it or has ended.

A run looks at everything that a process has. Another spoils all of it and looks again: an aspect that looks
the same then would not show a leak, and fails the test.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.drivers.conftest import Agent, until
from tests.drivers.test_templates import Warm

from reeve.drivers.base import Handle

# What a flow imports of its user: it counts how often it was used since it was imported.
HELPER = """
count = 0

def use():
    global count
    count += 1
    return count
"""

# Defines look() and spoil(). Numbers that only tell one process or file from another are left out.
LOOKS = """
import asyncio, atexit, builtins, decimal, gc, json, locale, logging, os, random, re, resource, signal, socket
import sys, tempfile, threading, time, warnings
import helper

STATE = []

def files():
    told = {}
    for one in os.listdir("/proc/self/fd"):
        try:
            told[one] = re.sub(r"\\d+", "", os.readlink(f"/proc/self/fd/{one}"))
        except FileNotFoundError:
            pass  # the one of the listing
    return told

def limits():
    named = [name for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_LOCKS"]
    return {name: resource.getrlimit(getattr(resource, name)) for name in named}

def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask

def of_all(variables):
    return sorted(one for one in variables if not one.startswith(("CODE=", "REEVE_RECORDS=")))

def look():
    everything = {
        "environment": of_all("=".join(one) for one in os.environ.items()),
        "environment in /proc": of_all(open("/proc/self/environ").read().strip(chr(0)).split(chr(0))),
        "state of its own module": STATE,
        "state of a helper": helper.count,
        "attributes of modules": sorted(vars(json)) + sorted(vars(builtins)),
        "imported modules": sorted(sys.modules),
        "files and sockets": files(),
        "directory": os.listdir("."),
        "path": sys.path, "argv": sys.argv, "finders": len(sys.meta_path), "hook": sys.excepthook.__name__,
        "handlers": {str(one): str(signal.getsignal(one)) for one in signal.valid_signals()},
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "timers": signal.getitimer(signal.ITIMER_REAL)[1],
        "umask": umask(), "limits": limits(), "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "locale": locale.setlocale(locale.LC_ALL), "time zone": time.tzname,
        "exit functions": atexit._ncallbacks(),
        "threads": [one.name for one in threading.enumerate()],
        "event loop policy": type(asyncio.get_event_loop_policy()).__name__,
        "log handlers": len(logging.getLogger().handlers), "log level": logging.getLogger("user").level,
        "warnings": [str(one) for one in warnings.filters],
        "decimal": str(decimal.getcontext()), "collector": [gc.isenabled(), gc.get_threshold()],
        "socket time-out": socket.getdefaulttimeout(), "recursion": sys.getrecursionlimit(),
        "temporary directory": tempfile.gettempdir(), "trace": str(threading.gettrace()),
    }
    return json.loads(json.dumps(everything).replace(os.environ["REEVE_ATTEMPT"], "its own attempt"))

def spoil():
    STATE.append("spoilt")
    helper.use()
    json.spoilt = sys.modules["spoilt"] = sys
    for _ in range(2):
        socket.socketpair()[0].detach(), os.set_inheritable(os.open("spoilt", os.O_CREAT | os.O_RDWR), True)
    sys.path.insert(0, "/spoilt")
    sys.argv.append("spoilt")
    sys.meta_path.append(object())
    sys.excepthook = print
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, print)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 600, 600)
    os.umask(0o777)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    os.nice(1)
    locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) != "C.UTF-8" else "C")
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    atexit.register(print, end="")
    threading.Thread(target=time.sleep, args=[600], name="spoilt", daemon=True).start()
    class Spoilt(type(asyncio.get_event_loop_policy())): pass
    asyncio.set_event_loop_policy(Spoilt())
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("user").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    decimal.getcontext().prec = 3
    gc.disable()
    socket.setdefaulttimeout(7)
    sys.setrecursionlimit(555)
    tempfile.tempdir = "/spoilt"
    threading.settrace(print)
    random.seed(1)
"""

LOOK = "import looks; print(json.dumps(looks.look()))"
SPOIL = "import looks; looks.spoil(); print(json.dumps(looks.look()), flush=True); time.sleep(600)"
CHANCE = """
import secrets, tempfile, uuid
try:
    from numpy.random import default_rng, rand
    more = [rand(), default_rng().random()]
except ImportError:
    more = []
print(json.dumps([random.random(), random.randbytes(8).hex(), random.SystemRandom().random(),
                  secrets.token_hex(), os.urandom(8).hex(), str(uuid.uuid1()), str(uuid.uuid4()),
                  tempfile.mktemp(), *more]))
"""


@pytest.fixture
async def warm(agent: Agent, tmp_path: Path) -> Warm:
    warm = Warm(agent, tmp_path / "code", working_dir=None)
    (warm.folder / "helper.py").write_text(HELPER)
    (warm.folder / "looks.py").write_text(LOOKS)
    return warm


async def test_a_run_sees_nothing_of_another(warm: Warm) -> None:
    first = await warm.says(LOOK)
    assert set(first["files and sockets"]) == {"0", "1", "2"}
    spoiler = await warm.launch(SPOIL, SECRET="of the spoiler")
    await until(lambda: _printed(spoiler).endswith("\n"))
    beside = await warm.says(LOOK)
    await warm.agent.driver.stop(spoiler, 0)
    await warm.agent.exit(spoiler)
    after = await warm.says(LOOK)
    spoilt = json.loads(_printed(spoiler))
    assert not [aspect for aspect in first if spoilt[aspect] == first[aspect]], "a leak would not be seen"
    assert beside == first
    assert after == first


async def test_chance_is_a_run_s_own(warm: Warm) -> None:
    """Also of many that are forked at once, and after one that has seeded its own."""
    await warm.says("random.seed(1); print(0)")
    handles = await asyncio.gather(*(warm.agent.driver.launch(warm.order(CHANCE)) for _ in range(8)))
    drawn = []
    for handle in handles:
        assert (await warm.agent.exit(handle)).code == 0
        assert handle.details["forked"]
        drawn.append(json.loads(_printed(handle)))
    for source in zip(*drawn, strict=True):
        assert len(set(source)) == len(handles), source


def _printed(handle: Handle) -> str:
    assert handle.output_dir
    stdout = handle.output_dir / "stdout"
    return stdout.read_text() if stdout.exists() else ""
