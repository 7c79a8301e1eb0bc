"""The process of a flow run, as an agent launches it: ``python -m reeve.sdk.entry``.

It reads from its environment ``REEVE_API_URL``; ``REEVE_API_KEY``, the attempt's token; ``REEVE_RUN_ID``;
``REEVE_JOB``, the path of a JSON file with a Job; and, where an agent sends on what is logged,
``REEVE_RECORDS``, the path of the file for it, and ``REEVE_RECORDS_QUOTA``, its bytes; where it passes on
requests, ``REEVE_AGENT_SOCKET``, the path to its socket. Its exit codes:

    0    the run's final state was reported, whichever; or the run was taken away (aborted, superseded:
         another attempt has it, so this process has neither failed nor anything to say)
    143  ended by SIGTERM, after the clean-up; nothing was reported, the agent tells what became of the run
    1    an error of reeve itself

or whatever the flow's own ``sys.exit`` says, after the run was reported as Crashed.

A flow that cannot be loaded, or parameters that do not fit, make the run Failed before it was Running: so
neither is tried again.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from msgspec import convert

from reeve.client.local import LocalLine
from reeve.client.sync import Client
from reeve.decoders import decoder
from reeve.errors import ReeveError
from reeve.sdk.context import Origin
from reeve.sdk.engine import sync
from reeve.sdk.engine.run import Kind, Subject
from reeve.sdk.engine.script import ask
from reeve.sdk.engine.server import Server
from reeve.sdk.flows import Flow, run_deployed
from reeve.sdk.load import EntrypointError, FlowLoadError, FoundFlow, flow_at_hand, load_flow
from reeve.sdk.parameters import ParameterError
from reeve.sdk.shipping import QUOTA_BYTES, LogShipper, RecordFile
from reeve.sdk.states import Failed, RunStopped, State, Terminated
from reeve.sdk.termination import termination
from reeve.wire import endpoints, requests, responses

if TYPE_CHECKING:
    from _socket import socket

_USUAL_WORDS = ("flow", "task", "get_run_logger")  # what flows import of reeve: 6 ms of each run with tasks
# What each run uses is made or looked up here, once for all: a handler would cost it thirty pages.
_FLOW = Kind.FLOW
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_handlers: list[Any] = logging._handlerList  # type: ignore[attr-defined]  # noqa: SLF001
_records = RecordFile("", 0)

_ANSWER_SECONDS = 20.0  # before a request counts as lost: a line may swallow everything in silence
_LOOK_SECONDS = 3.0  # of the grace period of a run that is told to end
_LOG_PATIENCE_SECONDS = 5.0  # the shipper keeps the lines and comes back
_TELL_PATIENCE_SECONDS = 5.0  # the ledger keeps the entries and comes back
_LAST_TASKS_SECONDS = 3.0  # of the grace period of a run that is told to end
_LAST_LINES_SECONDS = 10.0  # the final state has been reported: the server is there, or the run is taken away


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the process needs to know of its run.

    ``path`` is the directory the entrypoint is relative to, unless ``pull_steps`` fetch one.
    """

    flow_name: str
    entrypoint: str | None = None
    path: str | None = None
    pull_steps: list[dict[str, Any]] | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    run_name: str
    deployment_name: str | None = None
    attempt_number: int = 1
    tags: list[str] = msgspec.field(default_factory=list)


class Told(msgspec.Struct, frozen=True, kw_only=True, rename=lambda field: f"REEVE_{field.upper()}"):
    """What the process is told by its environment."""

    api_url: str
    api_key: str | None = None
    run_id: UUID
    attempt: UUID | None = None
    job: str
    agent_socket: str | None = None
    records: str | None = None
    records_quota: int = QUOTA_BYTES


class Process(msgspec.Struct, eq=False, kw_only=True):
    """A run's process: what is known before it may begin; called, it runs, and gives the exit code.

    ``lesson``: for whoever forks the next run, what would have spared this one something.
    """

    told: Told
    job: Job
    subject: Subject
    server: Server
    log: RecordFile | LogShipper
    flow: FoundFlow | None
    lesson: str

    def __call__(self) -> int:
        try:
            termination.install()
            self.execute()
        except RunStopped as stop:
            self.subject.log.warning("%s", stop)
        except Terminated:
            self.subject.log.warning("The process of the run was told to end (SIGTERM), and has cleaned up.")
            return 143
        except Exception:
            self.subject.log.exception("The engine failed.")
            return 1
        finally:
            termination.requested = True  # from now on there is nothing to interrupt: what is left is short
            self.server.finish(_LAST_TASKS_SECONDS)
            self.log.finish(_LAST_LINES_SECONDS)
        return 0

    def execute(self) -> None:
        """Fetch the flow and run it. Raises RunStopped, when the server takes the run away, or Terminated."""
        job = self.job
        if job.pull_steps:
            self._fetch(job.pull_steps)
        else:
            load_it = self.flow.load if self.flow else lambda: load(job, job.path)
            run_job(job, load_it, self.subject, self.server)

    def _fetch(self, steps: list[dict[str, Any]]) -> None:
        from reeve.sdk import pull

        here = os.getcwd()  # noqa: PTH109  # as above
        into = pull.directory(here)
        try:
            cache = pull.cache_directory(os.environ)
            pulled = pull.pull(steps, cache, into, self.subject.log.log)
        except pull.PullError as error:
            _fail(self.subject, self.server, f"Flow could not be loaded: {error}")
        else:
            _note_code(self.told, pulled.version)
            os.chdir(pulled.directory)
            directory = str(pulled.directory)
            run_job(self.job, lambda: load(self.job, directory), self.subject, self.server)
        finally:
            os.chdir(here)
            pull.remove(into)


def main() -> int:
    """Execute the run that the environment names; return the exit code."""
    _begin()
    return prepare(os.environb)()


def prepare(environ: Mapping[bytes, bytes], *connected: socket) -> Process:
    """Return what executes a run in this process, made ready; called, it gives the exit code.

    ``connected``: connections to the agent that there are already.
    """
    ours: dict[str, str] = {}
    for name, text in environ.items():
        if name.startswith(b"REEVE_"):
            ours[name.decode(_ENCODING, _ERRORS)] = text.decode(_ENCODING, _ERRORS)
    told = convert(ours, Told, strict=False)
    job = decoder(Job).decode(_read(told.job))
    if told.records:
        _records.write_to(told.records, told.records_quota)
    flow: FoundFlow | None = None
    if job.entrypoint and not job.pull_steps:
        try:  # noqa: SIM105  # suppress() costs a run eight pages
            flow = flow_at_hand(job.entrypoint, job.path)
        except Exception:  # noqa: BLE001, S110  # what is wrong with its code the run will tell
            pass
    return Process(
        told=told,
        job=job,
        subject=Subject(kind=_FLOW, id=told.run_id, name=job.run_name),
        server=_server(told, connected, first=job.attempt_number == 1),
        log=_records if told.records else _shipper(told),
        flow=flow,
        lesson=_lesson(job) if flow is not None and flow.is_new else "",
    )


def _lesson(job: Job) -> str:
    path = os.path.abspath(job.path or os.curdir)  # noqa: PTH100  # pathlib costs each start 5 ms
    return f"{job.entrypoint}\0{path}"


def _read(path: str) -> bytes:
    """Return a file. open() has a run touch more pages than the whole of its job."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while part := os.read(file, 1 << 12):
            data += part
        return data
    finally:
        os.close(file)


def warm() -> None:
    """Do beforehand what every run does once: a process that forks runs has it done for all of them."""
    import reeve.sdk.engine.nowhere  # the rules, which a run with tasks asks

    for word in _USUAL_WORDS:
        getattr(reeve, word)
    _begin()
    for read in (
        Job,
        responses.OrchestrationResult,
        responses.FlowRun,
        responses.TaskRunReceipt,
    ):
        decoder(read)
    from reeve.sdk.rehearsal import ENOUGH

    for _ in range(ENOUGH):
        rehearse()


def rehearse() -> None:
    """Go through what every run goes through, without any trace."""
    from reeve.sdk.rehearsal import Stage

    with Stage() as stage:
        process = prepare(stage.environ, stage.line)
        code = process()
        assert code == 0, "nothing can go wrong with nothing"
        termination.forget()
        _records.write_to("", 0)
        stage.clear(process.flow)


def learn(lesson: str) -> None:
    """Have the code of a flow at hand that a run had to compile. Raises what is wrong with it."""
    entrypoint, _, path = lesson.partition("\0")
    flow_at_hand(entrypoint, path)


def _note_code(told: Told, version: str | None) -> None:
    """Tell which code was fetched; a server that does not hear of it is no reason not to run."""
    if version is None or told.attempt is None:
        return
    client = Client(told.api_url, told.api_key, patience=_LOG_PATIENCE_SECONDS)
    with suppress(ReeveError):
        client.call(endpoints.set_code_version, requests.CodeVersion(code_version=version), id=told.attempt)


def run_job(job: Job, flow_of: Callable[[], Flow[Any, Any]], subject: Subject, server: Server) -> State[Any]:
    """Load the flow of a run, check its parameters and execute it; return the state it is in then.

    Raises RunStopped when the server takes the run away.
    """
    try:
        flow = flow_of()
        bound = flow.bind((), job.parameters)
        if bound.arguments:
            flow.parameters.validate(bound)
    except FlowLoadError as error:
        return _fail(subject, server, f"Flow could not be loaded: {error}")
    except ParameterError as error:
        return _fail(subject, server, str(error))
    if flow.flow_run_name is not None or flow.version is not None or flow.policy.retries:
        name = flow.run_name(bound)
        server.announce(subject.id, flow.version, flow.policy, name)
        subject.name = name or subject.name
    origin = Origin(attempt=job.attempt_number, deployment_name=job.deployment_name, tags=tuple(job.tags))
    return run_deployed(flow, bound, subject, server, origin)


def load(job: Job, path: str | None) -> Flow[Any, Any]:
    """Load the flow of a run; a subclass of FlowLoadError says why it cannot be."""
    if job.entrypoint is None:
        raise EntrypointError(
            "Its deployment names no entrypoint. Deploy it again: reeve deploy FILE.py:FLOW"
        )
    return load_flow(job.entrypoint, path)


def _fail(subject: Subject, server: Server, message: str) -> State[Any]:
    subject.log.error("%s", message)
    state, _ = sync.perform(ask(subject, Failed(message)), server)
    return state


def _server(told: Told, connected: Sequence[socket], *, first: bool) -> Server:
    """Return the server as the engine knows it; ``first``: of the run's first attempt."""
    url, key = told.api_url, told.api_key
    local = LocalLine(told.agent_socket, list(connected)) if told.agent_socket else None
    server = Server(
        client=Client(url, key, timeout=_ANSWER_SECONDS, patience=None, notice=_tell_wait),
        hasty=Client(url, key, timeout=_LOOK_SECONDS, patience=_LOOK_SECONDS),
        reporting=Client(url, key, timeout=_ANSWER_SECONDS, patience=None, notice=_tell_wait, local=local),
    )
    if told.attempt is not None:
        patience = _TELL_PATIENCE_SECONDS
        teller = Client(url, key, timeout=_ANSWER_SECONDS, patience=patience, notice=_tell_wait, local=local)
        server.tell(teller, told.attempt, [told.run_id] if first else [])
    return server


def _shipper(told: Told) -> LogShipper:
    client = Client(told.api_url, told.api_key, patience=_LOG_PATIENCE_SECONDS)
    shipper = LogShipper(lambda lines: client.call(endpoints.create_logs, lines))
    logging.getLogger("reeve").addHandler(shipper)
    return shipper


def _begin() -> None:
    """Hear all that runs log; and what they print is written when print returns, whatever becomes of them."""
    logger = logging.getLogger("reeve")
    logger.setLevel(logging.INFO)
    logger.addHandler(_records)
    atexit.unregister(logging.shutdown)
    atexit.register(_end_logging)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def _end_logging() -> None:
    """Flush and close the handlers, where there are others than the run's own and that of last resort."""
    if len(_handlers) > 2:  # shutdown costs a run fifty pages
        logging.shutdown()


def _tell_wait(error: ReeveError, seconds: float) -> None:
    print(f"reeve: {error} Trying again in {seconds:.1f} s.", file=sys.stderr)  # noqa: T201  # the log waits too


if __name__ == "__main__":
    sys.exit(main())
