"""A house for tests: a server, its settings and its clock, for as long as a block lasts."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

from reeve import clock
from reeve.client.sync import Client
from reeve.errors import ReeveError
from reeve.sdk import home, own_attempt
from reeve.sdk.deploy import DEFAULT_POOL, make_pool
from reeve.sdk.flows import Flow
from reeve.sdk.states import State
from reeve.server.app import bound
from reeve.settings import Settings, load, make_home_key
from reeve.testing import agent
from reeve.testing.clock import Clock, length, moment_of
from reeve.testing.deployments import Deployment
from reeve.testing.executing import Executor
from reeve.testing.runs import Run, found
from reeve.testing.server import Server
from reeve.testing.surroundings import environment
from reeve.testing.work import Work
from reeve.wire import filters, queries

P = ParamSpec("P")
T = TypeVar("T")

HOST = "127.0.0.1"


class House:
    """What a test does with a house; ``house()`` opens one."""

    def __init__(self, server: Server, client: Client, settings: Settings) -> None:
        self._server = server
        self._settings = settings
        self._executor = Executor(client, DEFAULT_POOL)
        self.client = client
        self.clock = Clock(server.leap)
        self._work = Work(server, client, self.clock, self._executor)

    @property
    def url(self) -> str:
        """Where the API is; ``client`` speaks to it, with the key of the home."""
        return self._settings.api_url

    @property
    def home(self) -> Path:
        """The directory of everything; it is removed with the house."""
        return self._settings.home

    # --- flows that are called

    @overload
    def run(  # type: ignore[overload-overlap]  # any T may be a coroutine; the first that fits is meant
        self, flow: Flow[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Run]: ...
    @overload
    def run(self, flow: Flow[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Run: ...
    def run(self, flow: Flow[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call a flow here, as your code would, and return its run; what it raises is in there.

        An async flow gives what is to be awaited. Raises ParameterError for parameters that do not fit:
        there is no run then.
        """
        outcome: Any = flow.run(*args, **kwargs)
        return self._awaited(outcome) if flow.is_async else self._ended(outcome)

    async def _awaited(self, outcome: Coroutine[Any, Any, State[Any]]) -> Run:
        return self._ended(await outcome)

    def _ended(self, state: State[Any]) -> Run:
        run_id = state.details.flow_run_id
        assert run_id is not None, "the server fills it in"
        return Run(self.client, run_id, state)

    # --- deployments

    def deploy(self, flow: Flow[Any, Any], name: str = "test", **keys: Any) -> Deployment:
        """Deploy a flow and return the deployment, with its coming runs planned.

        ``keys`` are those of ``flow.deploy``: cron, interval, parameters, schedules, catchup, … Raises
        InvalidInputError, which names the key.
        """
        made = flow.deploy(name, **keys)
        self._executor.flows[made.id] = flow
        self._server.do_duties()
        return Deployment(made.id, f"{flow.name}/{made.name}", self._server, self.client, self._work)

    def work(self) -> list[Run]:
        """Execute here, one after the other, the runs of deployments that are due; return them.

        They are claimed as an agent claims them, so that limits and pauses hold, and those that are due first
        come first. Flows run in the test's own process. In an event loop, they have a thread of their own.
        """
        return self._work.do()

    def run_next(self) -> Run | None:
        """Set the clock to the next run that is due, execute it here and return it; None if there is none."""
        return self._work.do_one()

    def advance(self, **period: float) -> list[Run]:
        """Live through a time, as ``advance(days=7)``: execute here each run at its date; return them all.

        The words are those of ``timedelta``. A run that nobody may claim (a queue is paused, a limit full)
        is passed by.
        """
        return self._work.do_through(length(period))

    def agent(self, *, limit: int | None = None) -> AbstractContextManager[None]:
        """Have a real agent launch the runs that are due, each in a process of its own, while a block lasts.

        These processes keep the real time, and load the flow from its file. ``limit``: runs at once.
        """
        return agent.serving(DEFAULT_POOL, self._settings, limit)

    def runs(self, flow: Flow[Any, Any] | None = None) -> list[Run]:
        """Return all flow runs, or those of a flow, those that are due first first."""
        of = filters.FlowFilter(name=filters.Name(any_=[flow.name])) if flow else None
        return found(self.client, queries.FlowRunFilters(flows=of))


@contextmanager
def house(*, at: datetime | str | None = None) -> Iterator[House]:
    """Open a house: a server that runs while the block lasts, and that this process's settings name.

    Flows that are called inside are runs of it. ``at``: what its clock shows at first, a moment of the past
    or the future (aware, or ISO 8601). At the end all of it is gone, and the settings are what they were.
    There is one house at a time in a process: ReeveError.
    """
    with ExitStack() as stack:
        stack.enter_context(_alone())
        directory = Path(tempfile.mkdtemp(prefix="reeve-house-"))
        stack.callback(shutil.rmtree, directory)
        listener = stack.enter_context(bound(HOST, 0))
        stack.enter_context(environment(_settings(directory, listener.getsockname()[1])))
        key = make_home_key(directory)
        settings = load(os.environ)
        stack.callback(clock.give_back)
        clock.move(moment_of(at) - clock.now() if at is not None else timedelta())
        server = Server(settings, listener)
        server.start()
        stack.callback(server.stop)
        stack.callback(own_attempt.part_from, settings.api_url)
        stack.callback(home.hang_up)
        client = stack.enter_context(Client(settings.api_url, key))
        make_pool(client, DEFAULT_POOL)
        clock.take(lambda seconds: server.leap(timedelta(seconds=seconds)))
        yield House(server, client, settings)


def _settings(directory: Path, port: int) -> dict[str, str]:
    return {
        "REEVE_HOME": str(directory),
        "REEVE_SERVER_PORT": str(port),
        "REEVE_REPORT": "server",
        "REEVE_DRAIN_TIMEOUT": "10",  # as ``reeve up``
    }


_open = threading.Lock()


@contextmanager
def _alone() -> Iterator[None]:
    if not _open.acquire(blocking=False):
        message = "There is a house open in this process, whose settings and clock are the process's own."
        raise ReeveError(message)
    try:
        yield
    finally:
        _open.release()
