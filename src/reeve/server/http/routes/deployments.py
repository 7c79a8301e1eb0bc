"""Deployments, and runs that are asked of them."""

from __future__ import annotations

from uuid import UUID

from reeve import clock
from reeve.core.deployments import DeploymentOptions
from reeve.core.schedule_policies import SchedulePolicy
from reeve.core.sealing import shown
from reeve.server.http.body import page
from reeve.server.http.created_by import created_by
from reeve.server.http.request import Answer, Request, created, serves
from reeve.server.services import deployments, figures, find, runs, schedule_policies, scheduling, waiting
from reeve.wire import endpoints, project, queries, requests, responses


@serves(endpoints.create_deployment)
async def create_deployment(
    request: Request[requests.DeploymentCreate],
) -> Answer[responses.DeploymentResponse]:
    deployment, new = await deployments.create(
        request.context, request.body, request.sent, created_by(request.headers)
    )
    return created(project.deployment(deployment), new)


@serves(endpoints.update_deployment)
async def update_deployment(request: Request[requests.DeploymentUpdate]) -> None:
    await deployments.update(request.context, request.path["id"], request.body, created_by(request.headers))


@serves(endpoints.delete_deployment)
async def delete_deployment(request: Request[None]) -> None:
    await deployments.delete(request.context, request.path["id"])


@serves(endpoints.read_deployment)
async def read_deployment(request: Request[None]) -> responses.DeploymentResponse:
    return project.deployment(await deployments.read(request.context, request.path["id"]))


@serves(endpoints.read_deployment_by_name)
async def read_deployment_by_name(request: Request[None]) -> responses.DeploymentResponse:
    names = request.path["flow_name"], request.path["deployment_name"]
    return project.deployment(await deployments.read_by_names(request.context, *names))


@serves(endpoints.filter_deployments)
async def filter_deployments(
    request: Request[queries.DeploymentQuery],
) -> list[responses.DeploymentResponse]:
    query = request.body
    found = await find.deployments(request.context, query, *page(query.limit, query.offset))
    return [project.deployment(deployment) for deployment in found]


@serves(endpoints.create_run_of_deployment)
async def create_run_of_deployment(
    request: Request[requests.DeploymentFlowRunCreate],
) -> Answer[responses.FlowRunResponse]:
    run, new = await runs.create_run_of_deployment(
        request.context,
        request.principal,
        request.path["id"],
        request.body,
        created_by(request.headers),
    )
    return created(project.flow_run(run, clock.now()), new)


@serves(endpoints.deployment_runs)
async def deployment_runs(request: Request[requests.DeploymentRuns]) -> list[responses.FlowRunResponse]:
    asked = request.body
    limit, _ = page(asked.limit)
    found = await waiting.deployment_runs(
        request.context, asked.deployment_ids, before=asked.scheduled_before, limit=limit
    )
    return [project.flow_run(run, clock.now()) for run in found]


@serves(endpoints.pause_deployment)
async def pause_deployment(request: Request[None]) -> None:
    await deployments.set_paused(request.context, request.path["id"], paused=True)


@serves(endpoints.resume_deployment)
async def resume_deployment(request: Request[None]) -> None:
    await deployments.set_paused(request.context, request.path["id"], paused=False)


@serves(endpoints.read_deployment_options)
async def read_deployment_options(request: Request[None]) -> responses.DeploymentOptions:
    deployment = await deployments.read(request.context, request.path["id"])
    return _options(deployment.options)


@serves(endpoints.set_deployment_options)
async def set_deployment_options(
    request: Request[requests.DeploymentOptions],
) -> responses.DeploymentOptions:
    return _options(await deployments.set_options(request.context, request.path["id"], request.body))


def _options(options: DeploymentOptions) -> responses.DeploymentOptions:
    return responses.DeploymentOptions(
        engine=options.engine,
        crash_retries=options.budget.retries,
        crash_retry_delay=options.budget.delay,
        crash_retry_on=sorted(options.budget.on),
        max_pending=options.limits.max_pending,
        max_run=options.limits.max_run,
        must_start_by=options.limits.must_start_by,
        concurrency_limit=options.concurrency_limit,
        code_version=options.code_version,
    )


@serves(endpoints.read_schedule_policies)
async def read_schedule_policies(request: Request[None]) -> list[responses.SchedulePolicy]:
    return _policies(await schedule_policies.read(request.context, request.path["id"]))


@serves(endpoints.set_schedule_policies)
async def set_schedule_policies(
    request: Request[list[requests.SchedulePolicy]],
) -> list[responses.SchedulePolicy]:
    kept = await schedule_policies.set_policies(request.context, request.path["id"], request.body)
    return _policies(kept)


def _policies(policies: dict[UUID, SchedulePolicy]) -> list[responses.SchedulePolicy]:
    return [
        responses.SchedulePolicy(
            schedule_id=schedule_id,
            parameters=shown(policy.parameters),
            catchup=policy.catchup,
            max_late=policy.max_late,
            overlap=policy.overlap,
        )
        for schedule_id, policy in policies.items()
    ]


@serves(endpoints.count_deployments)
async def count_deployments(request: Request[queries.FlowRunFilters]) -> int:
    return await figures.deployments(request.context, request.body)


@serves(endpoints.read_schedules)
async def read_schedules(request: Request[None]) -> list[responses.DeploymentSchedule]:
    found = await deployments.schedules_of(request.context, request.path["id"])
    return [project.deployment_schedule(schedule) for schedule in found]


@serves(endpoints.create_schedules)
async def create_schedules(
    request: Request[list[requests.ScheduleCreate]],
) -> list[responses.DeploymentSchedule]:
    added = await deployments.add_schedules(request.context, request.path["id"], request.body)
    return [project.deployment_schedule(schedule) for schedule in added]


@serves(endpoints.update_schedule)
async def update_schedule(request: Request[requests.ScheduleUpdate]) -> None:
    await deployments.update_schedule(
        request.context, request.path["id"], request.path["schedule_id"], request.body
    )


@serves(endpoints.delete_schedule)
async def delete_schedule(request: Request[None]) -> None:
    await deployments.delete_schedule(request.context, request.path["id"], request.path["schedule_id"])


@serves(endpoints.schedule_deployment)
async def schedule_deployment(request: Request[requests.Schedule]) -> None:
    await scheduling.schedule(request.context, request.path["id"], request.body)


@serves(endpoints.set_schedule_active)
async def set_schedule_active(request: Request[None]) -> None:
    await deployments.set_schedule_active(request.context, request.path["id"], active=True)


@serves(endpoints.set_schedule_inactive)
async def set_schedule_inactive(request: Request[None]) -> None:
    await deployments.set_schedule_active(request.context, request.path["id"], active=False)


@serves(endpoints.check_work_queues)
async def check_work_queues(request: Request[None]) -> list[responses.WorkQueue]:
    found = await deployments.check_queues(request.context, request.path["id"])
    return [project.queue_alone(queue) for queue in found]
