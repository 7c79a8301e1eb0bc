"""Artifacts."""

from __future__ import annotations

from reeve.server.http.request import Request, serves
from reeve.server.services import artifacts
from reeve.wire import endpoints, requests, responses


@serves(endpoints.create_artifact)
async def create_artifact(request: Request[requests.ArtifactCreate]) -> responses.Artifact:
    return await artifacts.create(request.context, request.principal, request.body)
