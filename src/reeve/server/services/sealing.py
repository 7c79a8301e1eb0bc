"""Secret parameters, sealed before they are stored, and opened for who executes the run (decision 0025)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4, uuid5

from msgspec.structs import replace

from reeve.core.deployments import Engine
from reeve.core.parameters import check_parameters
from reeve.core.sealing import SEALED, has_secret, is_hidden, is_sealed, secret_names
from reeve.errors import InvalidInputError
from reeve.server.services.secrets import SecretsKeyError
from reeve.server.storage import deployments, schedule_policies
from reeve.server.storage.blocks import Sealed

if TYPE_CHECKING:
    from reeve.core.deployments import Deployment
    from reeve.core.runs import FlowRun
    from reeve.server.services.context import Context, Principal
    from reeve.server.services.secrets import Keyring
    from reeve.server.storage.store import Transaction

log = logging.getLogger("reeve.server")


def sealed(
    keyring: Keyring, deployment: Deployment, given: Mapping[str, Any], stored: Mapping[str, Any]
) -> dict[str, Any]:
    """Return given parameters as they may be stored: what the deployment's schema calls secret, sealed.

    A hidden value means the one that is ``stored``. Raises InvalidInputError for one that is not, and for
    what only looks sealed.
    """
    secret = secret_names(deployment.parameter_openapi_schema)
    return {
        name: _sealed(keyring, deployment.id, name, value, stored.get(name), is_secret=name in secret)
        for name, value in given.items()
    }


def _sealed(
    keyring: Keyring, deployment_id: UUID, name: str, value: Any, stored: Any, *, is_secret: bool
) -> Any:
    if is_sealed(value):
        if value == stored:
            return value
        message = (
            f"parameter '{name}': a mapping with the key '{SEALED}' alone is the server's; give the value"
        )
        raise InvalidInputError(message, field=f"parameters.{name}")
    if is_hidden(value) and is_sealed(stored):
        return stored
    if not is_secret or value is None:
        return value
    if is_hidden(value):
        if stored is not None:  # from before the parameter was a secret
            return _seal(keyring, deployment_id, name, stored)
        message = f"parameter '{name}' is a secret that is not known here: give its value, not stars"
        raise InvalidInputError(message, field=f"parameters.{name}")
    return _seal(keyring, deployment_id, name, value)


def deployment(keyring: Keyring, changed: Deployment, known: Deployment) -> Deployment:
    """Return a changed deployment as it may be stored; a hidden value means that of the ``known`` one."""
    return replace(changed, parameters=sealed(keyring, changed, changed.parameters, known.parameters))


def opened(keyring: Keyring, deployment_id: UUID | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters in clear; raises SecretsKeyError for what was sealed elsewhere or otherwise."""
    return {
        name: _open(keyring, deployment_id, name, value) if is_sealed(value) else value
        for name, value in parameters.items()
    }


def resealed(keyring: Keyring, deployment_id: UUID, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters sealed with the newest key; raises SecretsKeyError."""
    return {
        name: _seal(
            keyring, deployment_id, name, _open(keyring, deployment_id, name, value), value[SEALED]["id"]
        )
        if is_sealed(value) and value[SEALED]["key_id"] != keyring.newest
        else value
        for name, value in parameters.items()
    }


def check(keyring: Keyring, deployment: Deployment, parameters: Mapping[str, Any], *, whole: bool) -> None:
    """Raise InvalidInputError if sealed parameters do not fit the deployment's schema.

    Not ``whole``: those that are required may be given with each run.
    """
    schema = deployment.parameter_openapi_schema or {}
    check_parameters(
        schema if whole else {**schema, "required": []}, opened(keyring, deployment.id, parameters)
    )


def for_grant(keyring: Keyring, run: FlowRun) -> FlowRun:
    """Return a run with its parameters in clear; those that cannot be opened are left out."""
    try:
        return replace(run, parameters=opened(keyring, run.deployment_id, run.parameters))
    except SecretsKeyError as error:  # the other grants must not wait for it
        log.error("The secret parameters of run %s are left out: %s", run.id, error)  # noqa: TRY400  # it says all
        kept = {name: value for name, value in run.parameters.items() if not is_sealed(value)}
        return replace(run, parameters=kept)


async def for_reader(ctx: Context, principal: Principal, run: FlowRun) -> FlowRun:
    """Return a run as its reader may have it: in clear for 2.20's engine, which asks by its attempt's token.

    Our own engine has them from the grant.
    """
    if principal.is_operator or principal.attempt_id != run.attempt_id or run.deployment_id is None:
        return run
    if not any(map(is_sealed, run.parameters.values())):
        return run
    deployment_id = run.deployment_id
    deployment = await ctx.store.read(lambda tx: deployments.read(tx, deployment_id))
    if deployment is None or deployment.options.engine is not Engine.PREFECT:
        return run
    return for_grant(ctx.keyring, run)


async def of_run(
    tx: Transaction,
    keyring: Keyring,
    deployment_id: UUID | None,
    given: dict[str, Any],
    stored: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the parameters of a run as they may be stored; what is not ``stored`` is its deployment's."""
    deployment = await deployments.read(tx, deployment_id) if deployment_id and given else None
    if deployment is None:
        return given
    return sealed(keyring, deployment, given, deployment.parameters if stored is None else stored)


def answer(keyring: Keyring, run_id: UUID, key: str, schema: object, given: dict[str, Any]) -> dict[str, Any]:
    """Return what a paused run is given as it may be stored: sealed as a whole, if its schema has a secret.

    Raises InvalidInputError for what only looks sealed.
    """
    if is_sealed(given):
        message = f"run_input: a mapping with the key '{SEALED}' alone is the server's; give the values"
        raise InvalidInputError(message, field="run_input")
    return _seal(keyring, run_id, key, given) if has_secret(schema) else given


def opened_answer(keyring: Keyring, run_id: UUID, key: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sealed answer in clear; raises SecretsKeyError."""
    value: dict[str, Any] = _open(keyring, run_id, key, kept)
    return value


def resealed_answer(keyring: Keyring, run_id: UUID, key: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sealed answer sealed with the newest key; raises SecretsKeyError."""
    return resealed(keyring, run_id, {key: kept})[key]  # type: ignore[no-any-return]  # of a mapping of Any


async def seal_policies(tx: Transaction, keyring: Keyring, deployment: Deployment) -> None:
    """Seal what the schedules of a deployment give to parameters that have become secret."""
    if not secret_names(deployment.parameter_openapi_schema):
        return
    kept = await schedule_policies.of_deployment(tx, deployment.id)
    before = {schedule_id: one.policy for schedule_id, one in kept.items()}
    after = {
        schedule_id: replace(one, parameters=sealed(keyring, deployment, one.parameters, one.parameters))
        for schedule_id, one in before.items()
    }
    if after != before:
        await schedule_policies.replace(tx, deployment.id, after)


def _seal(keyring: Keyring, deployment_id: UUID, name: str, value: Any, id_: str = "") -> dict[str, Any]:
    made = keyring.seal(_place(deployment_id, name), {"value": value})
    return {SEALED: {"id": id_ or str(uuid4()), "key_id": made.key_id, "text": made.text}}


def _open(keyring: Keyring, deployment_id: UUID | None, name: str, value: Mapping[str, Any]) -> Any:
    if deployment_id is None:
        raise SecretsKeyError(f"The parameter '{name}' was sealed for a deployment that is deleted.")
    kept = value[SEALED]
    return keyring.unseal(_place(deployment_id, name), Sealed(kept["key_id"], kept["text"]))["value"]


def _place(deployment_id: UUID, name: str) -> UUID:
    """Return what a sealed value is bound to: a parameter of a deployment and of its runs."""
    return uuid5(deployment_id, name)
