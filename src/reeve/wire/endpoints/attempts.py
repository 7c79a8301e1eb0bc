"""Operations on attempts (protocol §3, §7)."""

from __future__ import annotations

from reeve.wire import requests, responses
from reeve.wire.endpoints.table import Door, Endpoint

renew_attempts: Endpoint[requests.Renew, responses.Renewal] = Endpoint(
    "renew_attempts",
    "POST",
    "/attempts/renew",
    requests.Renew,
    responses.Renewal,
    door=Door.ANYONE,  # each attempt's token is checked
    dialect=False,
)
relay_calls: Endpoint[requests.Calls, list[responses.CallReply]] = Endpoint(
    "relay_calls",
    "POST",
    "/attempts/calls",
    requests.Calls,
    list[responses.CallReply],
    door=Door.ANYONE,  # each call's key is checked
    dialect=False,
)
open_self_attempt: Endpoint[requests.OpenAttempt, responses.SelfAttempt] = Endpoint(
    "open_self_attempt",
    "POST",
    "/attempts/self",
    requests.OpenAttempt,
    responses.SelfAttempt,
    201,
    refusals=(409,),
    dialect=False,
)
end_self_attempt: Endpoint[requests.EndAttempt, None] = Endpoint(
    "end_self_attempt",
    "POST",
    "/attempts/{id}/end",
    requests.EndAttempt,
    None,
    204,
    door=Door.ATTEMPT,  # the attempt itself alone
    dialect=False,
)
report_attempts: Endpoint[requests.Reports, list[responses.Receipt]] = Endpoint(
    "report_attempts", "POST", "/attempts/reports", requests.Reports, list[responses.Receipt], dialect=False
)
attempt_output: Endpoint[requests.Output, None] = Endpoint(
    "attempt_output", "POST", "/attempts/{id}/output", requests.Output, None, 204, dialect=False
)
flow_run_attempts: Endpoint[None, list[responses.Attempt]] = Endpoint(
    "flow_run_attempts", "GET", "/flow_runs/{id}/attempts", None, list[responses.Attempt], dialect=False
)
