"""Artifacts, and the newest of each key."""

from __future__ import annotations

from reeve.server.http.body import page
from reeve.server.http.request import Request, serves
from reeve.server.services import artifacts, find
from reeve.wire import endpoints, queries, requests, responses


@serves(endpoints.create_artifact)
async def create_artifact(request: Request[requests.ArtifactCreate]) -> responses.Artifact:
    return await artifacts.create(request.context, request.principal, request.body)


@serves(endpoints.read_artifact)
async def read_artifact(request: Request[None]) -> responses.Artifact:
    return await artifacts.read(request.context, request.path["id"])


@serves(endpoints.read_latest_artifact)
async def read_latest_artifact(request: Request[None]) -> responses.Artifact:
    return await artifacts.latest(request.context, request.path["key"])


@serves(endpoints.update_artifact)
async def update_artifact(request: Request[requests.ArtifactUpdate]) -> None:
    await artifacts.update(request.context, request.principal, request.path["id"], request.body)


@serves(endpoints.delete_artifact)
async def delete_artifact(request: Request[None]) -> None:
    await artifacts.delete(request.context, request.path["id"])


@serves(endpoints.filter_artifacts)
async def filter_artifacts(request: Request[queries.ArtifactQuery]) -> list[responses.Artifact]:
    query = request.body
    return await find.artifacts_(request.context, query, *page(query.limit, query.offset))


@serves(endpoints.count_artifacts)
async def count_artifacts(request: Request[queries.ArtifactFilters]) -> int:
    return await find.count_artifacts(request.context, request.body)


@serves(endpoints.filter_latest_artifacts)
async def filter_latest_artifacts(
    request: Request[queries.ArtifactCollectionQuery],
) -> list[responses.ArtifactCollection]:
    query = request.body
    return await find.latest_artifacts(request.context, query, *page(query.limit, query.offset))


@serves(endpoints.count_latest_artifacts)
async def count_latest_artifacts(request: Request[queries.ArtifactCollectionFilters]) -> int:
    return await find.count_latest_artifacts(request.context, request.body)
