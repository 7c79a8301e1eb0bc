"""What is known of the types of workers."""

from __future__ import annotations

from typing import Any

from reeve.core import worker_types
from reeve.server.http.request import Request, serves
from reeve.wire import endpoints


@serves(endpoints.read_collection_view)
async def read_collection_view(request: Request[None]) -> dict[str, Any]:
    return worker_types.view(request.path["view"])
