"""Where the tasks that a flow submits are executed: ``@flow(task_runner=…)``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from reeve.errors import InvalidInputError, ReeveError
from reeve.sdk.runners import TaskRunner, ThreadTaskRunner, Workers, checked_size


class TaskRunnerMissingError(ReeveError):
    """What a task runner needs is not installed."""

    code = "task_runner_missing"


@dataclass(frozen=True, slots=True)
class ProcessTaskRunner:
    """Processes beside the flow's own: for tasks that compute; by default as many as CPUs.

    Arguments and results are pickled, and functions found by their name: they must be at the top level of
    their modules.
    """

    max_workers: int | None = None

    def __post_init__(self) -> None:
        checked_size(self.max_workers)

    def start(self) -> tuple[int, Workers | None]:
        """Make a pool, whose processes start when there is something to do."""
        from reeve.sdk.workers.processes import ProcessPool

        return self.max_workers or os.cpu_count() or 1, ProcessPool()


@dataclass(frozen=True, slots=True)
class DaskTaskRunner:
    """A Dask cluster: that at ``address``, or one of processes on this machine while the flow runs.

    ``cluster``: arguments for ``LocalCluster``. Needs ``reeve[dask]``.
    """

    address: str | None = None
    max_workers: int | None = None
    cluster: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_size(self.max_workers)
        _installed("DaskTaskRunner", "distributed", "dask")

    def start(self) -> tuple[int, Workers | None]:
        """Connect to the cluster, or make it."""
        from reeve.sdk.workers.dask import DaskWorkers

        workers = DaskWorkers(self.address, self.max_workers, self.cluster)
        return workers.slots, workers


@dataclass(frozen=True, slots=True)
class RayTaskRunner:
    """A Ray cluster: that at ``address``, or one on this machine while the flow runs.

    ``options``: arguments for ``ray.init``. Needs ``reeve[ray]``.
    """

    address: str | None = None
    max_workers: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_size(self.max_workers)
        _installed("RayTaskRunner", "ray", "ray")

    def start(self) -> tuple[int, Workers | None]:
        """Connect to the cluster, or make it."""
        from reeve.sdk.workers.ray import RayWorkers

        workers = RayWorkers(self.address, self.max_workers, self.options)
        return workers.slots, workers


_BY_NAME: dict[str, type[Any]] = {
    "threads": ThreadTaskRunner,
    "processes": ProcessTaskRunner,
    "dask": DaskTaskRunner,
    "ray": RayTaskRunner,
}


def checked_task_runner(owner: str, given: TaskRunner | str | None, max_workers: int | None) -> TaskRunner:
    """Return the runner that a flow names, with as many workers as it says; else InvalidInputError."""
    if max_workers is not None and max_workers < 1:
        message = f"{owner}: max_workers must be 1 or more, got {max_workers!r}"
        raise InvalidInputError(message, field="max_workers")
    if given is None or isinstance(given, str):
        kind = _BY_NAME.get(given or "threads")
        if kind is None:
            raise InvalidInputError(_not_a_runner(owner, given), field="task_runner")
        return kind(max_workers=max_workers)  # type: ignore[no-any-return]  # of the table
    if not callable(getattr(given, "start", None)) or isinstance(given, type):
        raise InvalidInputError(_not_a_runner(owner, given), field="task_runner")
    if max_workers is None:
        return given
    if not isinstance(given, tuple(_BY_NAME.values())):
        message = f"{owner}: max_workers is for the runners of reeve; say it to your task_runner"
        raise InvalidInputError(message, field="max_workers")
    return replace(given, max_workers=max_workers)  # type: ignore[type-var]  # one of the table


def _not_a_runner(owner: str, given: object) -> str:
    names = ", ".join(repr(name) for name in _BY_NAME)
    return (
        f"{owner}: task_runner must be one of {names} or an object such as ProcessTaskRunner(), not {given!r}"
    )


def _installed(runner: str, module: str, extra: str) -> None:
    if find_spec(module) is None:
        raise TaskRunnerMissingError(
            f"{runner} needs the package '{module}', which is not installed."
            f" Install it with: pip install 'reeve[{extra}]'"
        )
