"""Operations on artifacts."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint, filtering

create_artifact: Endpoint[requests.ArtifactCreate, responses.Artifact] = Endpoint(
    "create_artifact", "POST", "/artifacts/", requests.ArtifactCreate, responses.Artifact, 201, door=RUN
)
read_artifact: Endpoint[None, responses.Artifact] = Endpoint(
    "read_artifact", "GET", "/artifacts/{id}", None, responses.Artifact, door=RUN
)
read_latest_artifact: Endpoint[None, responses.Artifact] = Endpoint(
    "read_latest_artifact", "GET", "/artifacts/{key}/latest", None, responses.Artifact, door=RUN
)
update_artifact: Endpoint[requests.ArtifactUpdate, None] = Endpoint(
    "update_artifact", "PATCH", "/artifacts/{id}", requests.ArtifactUpdate, None, 204, door=RUN
)
delete_artifact: Endpoint[None, None] = Endpoint(
    "delete_artifact", "DELETE", "/artifacts/{id}", None, None, 204
)
filter_artifacts = filtering(
    "filter_artifacts", "/artifacts/filter", queries.ArtifactQuery, responses.Artifact
)
count_artifacts: Endpoint[queries.ArtifactFilters, int] = Endpoint(
    "count_artifacts", "POST", "/artifacts/count", queries.ArtifactFilters, int, door=RUN, body_optional=True
)
filter_latest_artifacts = filtering(
    "filter_latest_artifacts",
    "/artifacts/latest/filter",
    queries.ArtifactCollectionQuery,
    responses.ArtifactCollection,
)
count_latest_artifacts: Endpoint[queries.ArtifactCollectionFilters, int] = Endpoint(
    "count_latest_artifacts",
    "POST",
    "/artifacts/latest/count",
    queries.ArtifactCollectionFilters,
    int,
    door=RUN,
    body_optional=True,
)
