"""reeve runs Python flows on schedule, on any machine you own, and proves what became of them.

The public words below are loaded on first use, so that ``import reeve`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reeve.errors import ReeveError
    from reeve.sdk.artifacts import (
        acreate_image_artifact,
        acreate_link_artifact,
        acreate_markdown_artifact,
        acreate_progress_artifact,
        acreate_table_artifact,
        aupdate_progress_artifact,
        create_image_artifact,
        create_link_artifact,
        create_markdown_artifact,
        create_progress_artifact,
        create_table_artifact,
        update_progress_artifact,
    )
    from reeve.sdk.blocks import Block
    from reeve.sdk.caching import INPUTS, CacheContext, task_input_hash
    from reeve.sdk.context import RunInfo, current_run
    from reeve.sdk.deployments import DeploymentRun, arun_deployment, run_deployment
    from reeve.sdk.flows import Flow, flow
    from reeve.sdk.futures import TaskFuture, TaskFutures, allow_failure, unmapped
    from reeve.sdk.load import load_flow
    from reeve.sdk.logging import get_run_logger
    from reeve.sdk.parameters import ParameterError
    from reeve.sdk.pauses import (
        PauseTimedOutError,
        apause_flow_run,
        aresume_flow_run,
        asuspend_flow_run,
        pause_flow_run,
        resume_flow_run,
        suspend_flow_run,
    )
    from reeve.sdk.retries import exponential_backoff
    from reeve.sdk.runners import ThreadTaskRunner
    from reeve.sdk.secret import Secret
    from reeve.sdk.states import Completed, EndRun, Failed, RunFailedError, RunTimedOutError, State
    from reeve.sdk.storage import ResultError
    from reeve.sdk.task_runners import DaskTaskRunner, ProcessTaskRunner, RayTaskRunner
    from reeve.sdk.tasks import Task, task
    from reeve.sdk.variables import Variable
    from reeve.sdk.waiting import as_completed, wait
    from reeve.sdk.workers.crossing import WorkerDiedError

_HOMES = {
    "reeve.errors": ("ReeveError",),
    "reeve.sdk.artifacts": (
        "acreate_image_artifact",
        "acreate_link_artifact",
        "acreate_markdown_artifact",
        "acreate_progress_artifact",
        "acreate_table_artifact",
        "aupdate_progress_artifact",
        "create_image_artifact",
        "create_link_artifact",
        "create_markdown_artifact",
        "create_progress_artifact",
        "create_table_artifact",
        "update_progress_artifact",
    ),
    "reeve.sdk.blocks": ("Block",),
    "reeve.sdk.caching": ("INPUTS", "CacheContext", "task_input_hash"),
    "reeve.sdk.context": ("RunInfo", "current_run"),
    "reeve.sdk.deployments": ("DeploymentRun", "arun_deployment", "run_deployment"),
    "reeve.sdk.flows": ("Flow", "flow"),
    "reeve.sdk.futures": ("TaskFuture", "TaskFutures", "allow_failure", "unmapped"),
    "reeve.sdk.load": ("load_flow",),
    "reeve.sdk.logging": ("get_run_logger",),
    "reeve.sdk.parameters": ("ParameterError",),
    "reeve.sdk.pauses": (
        "PauseTimedOutError",
        "apause_flow_run",
        "aresume_flow_run",
        "asuspend_flow_run",
        "pause_flow_run",
        "resume_flow_run",
        "suspend_flow_run",
    ),
    "reeve.sdk.retries": ("exponential_backoff",),
    "reeve.sdk.runners": ("ThreadTaskRunner",),
    "reeve.sdk.secret": ("Secret",),
    "reeve.sdk.states": ("Completed", "EndRun", "Failed", "RunFailedError", "RunTimedOutError", "State"),
    "reeve.sdk.storage": ("ResultError",),
    "reeve.sdk.task_runners": (
        "DaskTaskRunner",
        "ProcessTaskRunner",
        "RayTaskRunner",
    ),
    "reeve.sdk.tasks": ("Task", "task"),
    "reeve.sdk.variables": ("Variable",),
    "reeve.sdk.waiting": ("as_completed", "wait"),
    "reeve.sdk.workers.crossing": ("WorkerDiedError",),
}
_HOME_OF = {word: home for home, words in _HOMES.items() for word in words}

__all__ = [
    "INPUTS",
    "Block",
    "CacheContext",
    "Completed",
    "DaskTaskRunner",
    "DeploymentRun",
    "EndRun",
    "Failed",
    "Flow",
    "ParameterError",
    "PauseTimedOutError",
    "ProcessTaskRunner",
    "RayTaskRunner",
    "ReeveError",
    "ResultError",
    "RunFailedError",
    "RunInfo",
    "RunTimedOutError",
    "Secret",
    "State",
    "Task",
    "TaskFuture",
    "TaskFutures",
    "ThreadTaskRunner",
    "Variable",
    "WorkerDiedError",
    "acreate_image_artifact",
    "acreate_link_artifact",
    "acreate_markdown_artifact",
    "acreate_progress_artifact",
    "acreate_table_artifact",
    "allow_failure",
    "apause_flow_run",
    "aresume_flow_run",
    "arun_deployment",
    "as_completed",
    "asuspend_flow_run",
    "aupdate_progress_artifact",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "current_run",
    "exponential_backoff",
    "flow",
    "get_run_logger",
    "load_flow",
    "pause_flow_run",
    "resume_flow_run",
    "run_deployment",
    "suspend_flow_run",
    "task",
    "task_input_hash",
    "unmapped",
    "update_progress_artifact",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'reeve' has no attribute '{name}'")
    from importlib import import_module

    word = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = word
    return word


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
