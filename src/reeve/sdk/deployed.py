"""``flow.deploy``: what ``reeve deploy`` does, said in Python with the keys of ``reeve.yaml``."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reeve.client.sync import Client
from reeve.errors import InvalidInputError
from reeve.sdk import deploy as deploying
from reeve.sdk.local import refuse_while_importing
from reeve.sdk.manifest import KEYS, RULES, Manifest, check_known
from reeve.settings import load
from reeve.wire.responses import DeploymentResponse

if TYPE_CHECKING:
    from reeve.sdk.deploy import Deployable, DeploymentSpec

PATIENCE_SECONDS = 5.0
# Of one schedule, given beside the other keys instead of a list of schedules.
OF_A_SCHEDULE = (*RULES, "timezone", "anchor", "day_or", "catchup", "max_late", "overlap")


def deploy(flow: Deployable, name: str, keys: Mapping[str, Any]) -> DeploymentResponse:
    """Deploy a flow to the server that the settings name, and return the deployment.

    ``keys`` are those of a deployment in ``reeve.yaml``: pool, queue, parameters, tags, schedules,
    job_variables, crash_retries, max_run, pull, …; a single schedule may be given by its own keys: cron,
    interval, rrule or once, timezone, catchup, overlap, … Lengths of time are texts like "1h", seconds or
    timedeltas. Raises InvalidInputError, which names the key; NotFoundError for a pool.
    """
    spec = spec_of(flow, name, keys)
    with connect() as client:
        made, _ = deploying.deploy(client, spec)
    return made


def spec_of(flow: Deployable, name: str, keys: Mapping[str, Any], call: str = "deploy") -> DeploymentSpec:
    """Return what a flow's deployment should be."""
    refuse_while_importing()
    file, word = _source(flow)
    said = {"name": name, **_with_schedules(keys, call)}
    (spec,) = Manifest.of_call(f"{call}()", flow, f"{file}:{word}", said).specs()
    return spec


def connect() -> Client:
    """Return a client of the server that the settings name."""
    settings = load(os.environ)
    return Client(settings.api_url, settings.api_key, patience=PATIENCE_SECONDS)


def _with_schedules(keys: Mapping[str, Any], call: str) -> dict[str, Any]:
    check_known(call, keys, (*KEYS, *OF_A_SCHEDULE))
    one = {key: value for key, value in keys.items() if key in OF_A_SCHEDULE}
    rest = {key: value for key, value in keys.items() if key not in OF_A_SCHEDULE}
    if not one:
        return rest
    if "schedules" in rest:
        raise InvalidInputError(
            f"{call}(): give 'schedules' or {', '.join(one)}, not both", field="schedules"
        )
    return {**rest, "schedules": [one]}


def _source(flow: Deployable) -> tuple[Path, str]:
    """Return the file of a flow and its name there: so its runs find it."""
    module = sys.modules.get(flow.fn.__module__)
    file = inspect.getsourcefile(flow.fn)
    words = [word for word, value in vars(module).items() if value is flow] if module else []
    if file is None or not Path(file).is_file() or not words:
        raise InvalidInputError(
            f"The flow {flow.name!r} is no name of a file's: its runs could not find it. Define it at the "
            "top level of a file",
            field="entrypoint",
        )
    return Path(file).absolute(), words[0]
