"""What is known of the types of workers."""

from __future__ import annotations

from typing import Any

from reeve.wire.endpoints.table import RUN, Endpoint

read_collection_view: Endpoint[None, dict[str, Any]] = Endpoint(
    "read_collection_view", "GET", "/collections/views/{view}", None, dict[str, Any], door=RUN
)
