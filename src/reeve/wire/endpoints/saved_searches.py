"""Operations on saved searches."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import Door, Endpoint, filtering

put_saved_search: Endpoint[requests.SavedSearchCreate, responses.SavedSearch] = Endpoint(
    "put_saved_search",
    "PUT",
    "/saved_searches/",
    requests.SavedSearchCreate,
    responses.SavedSearch,
    201,
    again=200,
)
read_saved_search: Endpoint[None, responses.SavedSearch] = Endpoint(
    "read_saved_search", "GET", "/saved_searches/{id}", None, responses.SavedSearch
)
delete_saved_search: Endpoint[None, None] = Endpoint(
    "delete_saved_search", "DELETE", "/saved_searches/{id}", None, None, 204
)
filter_saved_searches = filtering(
    "filter_saved_searches",
    "/saved_searches/filter",
    queries.Page,
    responses.SavedSearch,
    Door.OPERATOR,
)
