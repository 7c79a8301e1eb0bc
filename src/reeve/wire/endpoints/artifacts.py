"""Operations on artifacts."""

from __future__ import annotations

from reeve.wire import requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint

create_artifact: Endpoint[requests.ArtifactCreate, responses.Artifact] = Endpoint(
    "create_artifact", "POST", "/artifacts/", requests.ArtifactCreate, responses.Artifact, 201, door=RUN
)
