"""Attempts: renewed and reported on."""

from __future__ import annotations

from collections.abc import Sequence

from reeve.server.http.request import Request, serves
from reeve.server.services import attempts, self_attempts, task_reports
from reeve.wire import endpoints, requests, responses


@serves(endpoints.renew_attempts)
async def renew_attempts(request: Request[requests.Renew]) -> responses.Renewal:
    return await attempts.renew(request.context, request.body)


@serves(endpoints.open_self_attempt)
async def open_self_attempt(request: Request[requests.OpenAttempt]) -> responses.SelfAttempt:
    return await self_attempts.open_(request.context, request.body)


@serves(endpoints.end_self_attempt)
async def end_self_attempt(request: Request[requests.EndAttempt]) -> None:
    await self_attempts.end(request.context, request.principal, request.path["id"], request.body)


async def report_together(
    asked: Sequence[Request[requests.Reports]],
) -> Sequence[list[responses.Receipt] | BaseException]:
    return await attempts.report_all(asked[0].context, [one.body for one in asked])


@serves(endpoints.report_attempts, together=report_together)
async def report_attempts(request: Request[requests.Reports]) -> list[responses.Receipt]:
    return await attempts.report(request.context, request.body)


@serves(endpoints.attempt_output)
async def attempt_output(request: Request[requests.Output]) -> None:
    await attempts.output(request.context, request.path["id"], request.body)


@serves(endpoints.report_task_runs)
async def report_task_runs(request: Request[requests.TaskRunReports]) -> responses.TaskRunReceipt:
    return await task_reports.take(request.context, request.principal, request.path["id"], request.body)


@serves(endpoints.set_code_version)
async def set_code_version(request: Request[requests.CodeVersion]) -> None:
    await attempts.set_code_version(
        request.context, request.principal, request.path["id"], request.body.code_version
    )
