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
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

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
from reeve.sdk.logging import FLOW_LOGGER, run_logger
from reeve.sdk.parameters import ParameterError
from reeve.sdk.shipping import QUOTA_BYTES, LogShipper, RecordFile
from reeve.sdk.states import Failed, RunStopped, State, Terminated
from reeve.sdk.termination import termination
from reeve.wire import codec, endpoints, requests, responses

if TYPE_CHECKING:
    import socket

_USUAL_WORDS = ("flow", "task", "get_run_logger")  # what flows import of reeve: 6 ms of each run with tasks
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


class Process:
    """A run's process: what is known before it may begin; called, it runs, and gives the exit code."""

    def __init__(self, environ: Mapping[str, str], job: Job, local: LocalLine | None) -> None:
        self.environ = environ
        self.job = job
        run_id = UUID(environ["REEVE_RUN_ID"])
        self.subject = Subject(
            kind=Kind.FLOW,
            id=run_id,
            name=job.run_name,
            log=run_logger(FLOW_LOGGER, job.run_name, run_id, None),
        )
        self.server = _server(environ, local, run_id, first=job.attempt_number == 1)
        self.flow: FoundFlow | None = None
        self.lesson = ""  # for whoever forks the next run: what would have spared this one something
        self._log: RecordFile | LogShipper | None = None

    def get_ready(self) -> None:
        """Have log and code of the flow at hand; what is wrong with the code the run will tell."""
        if records := self.environ.get("REEVE_RECORDS"):
            self._log = _record_file(records, int(self.environ.get("REEVE_RECORDS_QUOTA", QUOTA_BYTES)))
        if self.job.entrypoint and not self.job.pull_steps:
            with suppress(Exception):
                self.flow = flow_at_hand(self.job.entrypoint, self.job.path)
                if self.flow.is_new:
                    path = os.path.abspath(self.job.path or os.curdir)  # noqa: PTH100  # as above
                    self.lesson = f"{self.job.entrypoint}\0{path}"

    def __call__(self) -> int:
        if self._log is None:
            self._log = _shipper(self.environ)
        try:
            return self._outcome()
        finally:
            termination.ignore()
            self.server.finish(_LAST_TASKS_SECONDS)
            self.end_log(_LAST_LINES_SECONDS)

    def end_log(self, seconds: float) -> None:
        """Write or send what is left of it, for at most ``seconds``."""
        if self._log is not None:
            self._log.finish(seconds)

    def _outcome(self) -> int:
        log = self.subject.log
        try:
            termination.install()
            self.execute()
        except RunStopped as stop:
            log.warning("%s", stop)
        except Terminated:
            log.warning("The process of the run was told to end (SIGTERM), and has cleaned up.")
            return 143
        except Exception:
            log.exception("The engine failed.")
            return 1
        return 0

    def execute(self) -> None:
        """Fetch the flow and run it. Raises RunStopped, when the server takes the run away, or Terminated."""
        job = self.job
        if not job.pull_steps:
            self._run(job.path)
            return
        from reeve.sdk import pull

        here = os.getcwd()  # noqa: PTH109  # as above
        into = pull.directory(here)
        try:
            cache = pull.cache_directory(self.environ)
            pulled = pull.pull(job.pull_steps, cache, into, self.subject.log.log)
        except pull.PullError as error:
            _fail(self.subject, self.server, f"Flow could not be loaded: {error}")
        else:
            _note_code(self.environ, pulled.version)
            os.chdir(pulled.directory)
            self._run(str(pulled.directory))
        finally:
            os.chdir(here)
            pull.remove(into)

    def _run(self, path: str | None) -> None:
        load_it = self.flow.load if self.flow else lambda: load(self.job, path)
        run_job(self.job, load_it, self.subject, self.server)


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Execute the run that the environment names; return the exit code."""
    _begin()
    return prepare(environ)()


def prepare(environ: Mapping[str, str] = os.environ, *connected: socket.socket) -> Process:
    """Return what executes a run in this process, made ready; called, it gives the exit code.

    ``connected``: connections to the agent that there are already.
    """
    job = codec.decode(_read(environ["REEVE_JOB"]), Job)
    path = environ.get("REEVE_AGENT_SOCKET")
    process = Process(environ, job, LocalLine(path, *connected) if path else None)
    process.get_ready()
    return process


def _read(path: str) -> bytes:
    """Return a file. open() has a run touch more pages than the whole of its job."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while part := os.read(file, 1 << 16):
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
        responses.CallReply,
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
        process.execute()
        process.server.finish(0)
        process.end_log(0)
        stage.clear(process.flow)


def learn(lesson: str) -> None:
    """Have the code of a flow at hand that a run had to compile. Raises what is wrong with it."""
    entrypoint, _, path = lesson.partition("\0")
    flow_at_hand(entrypoint, path)


def _note_code(environ: Mapping[str, str], version: str | None) -> None:
    """Tell which code was fetched; a server that does not hear of it is no reason not to run."""
    if version is None or "REEVE_ATTEMPT" not in environ:
        return
    client = Client(environ["REEVE_API_URL"], environ.get("REEVE_API_KEY"), patience=_LOG_PATIENCE_SECONDS)
    body = requests.CodeVersion(code_version=version)
    with suppress(ReeveError):
        client.call(endpoints.set_code_version, body, id=UUID(environ["REEVE_ATTEMPT"]))


def run_job(job: Job, flow_of: Callable[[], Flow[Any, Any]], subject: Subject, server: Server) -> State[Any]:
    """Load the flow of a run, check its parameters and execute it; return the state it is in then.

    Raises RunStopped when the server takes the run away.
    """
    try:
        flow = flow_of()
        bound = flow.parameters.validate(flow.parameters.bind((), job.parameters))
    except FlowLoadError as error:
        return _fail(subject, server, f"Flow could not be loaded: {error}")
    except ParameterError as error:
        return _fail(subject, server, str(error))
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


def _server(environ: Mapping[str, str], local: LocalLine | None, run_id: UUID, *, first: bool) -> Server:
    """Return the server as the engine knows it; ``first``: of the run's first attempt."""
    url, key = environ["REEVE_API_URL"], environ.get("REEVE_API_KEY")
    server = Server(
        client=Client(url, key, timeout=_ANSWER_SECONDS, patience=None, notice=_tell_wait),
        hasty=Client(url, key, timeout=_LOOK_SECONDS, patience=_LOOK_SECONDS),
        reporting=Client(url, key, timeout=_ANSWER_SECONDS, patience=None, notice=_tell_wait, local=local),
    )
    if "REEVE_ATTEMPT" in environ:
        teller = Client(
            url,
            key,
            timeout=_ANSWER_SECONDS,
            patience=_TELL_PATIENCE_SECONDS,
            notice=_tell_wait,
            local=local,
        )
        server.tell(teller, UUID(environ["REEVE_ATTEMPT"]), [run_id] if first else [])
    return server


def _record_file(path: str, quota: int) -> RecordFile:
    """Have what the run logs written to a file."""
    made = _records()
    made.write_to(path, quota)
    logging.getLogger("reeve").addHandler(made)
    return made


@cache
def _records() -> RecordFile:
    """Return the handler of a run: to make one has it touch thirty pages, so that is done beforehand."""
    return RecordFile()


def _shipper(environ: Mapping[str, str]) -> LogShipper:
    client = Client(environ["REEVE_API_URL"], environ.get("REEVE_API_KEY"), patience=_LOG_PATIENCE_SECONDS)
    shipper = LogShipper(lambda lines: client.call(endpoints.create_logs, lines))
    logging.getLogger("reeve").addHandler(shipper)
    return shipper


def _begin() -> None:
    """Hear all that runs log; and what they print is written when print returns, whatever becomes of them."""
    logging.getLogger("reeve").setLevel(logging.INFO)
    atexit.unregister(logging.shutdown)
    atexit.register(_end_logging)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def _end_logging() -> None:
    """Flush and close the handlers, where there are others than the run's own and that of last resort."""
    if len(logging._handlerList) > 2:  # type: ignore[attr-defined]  # noqa: SLF001  # fifty pages of each run
        logging.shutdown()


def _tell_wait(error: ReeveError, seconds: float) -> None:
    print(f"reeve: {error} Trying again in {seconds:.1f} s.", file=sys.stderr)  # noqa: T201  # the log waits too


if __name__ == "__main__":
    sys.exit(main())
