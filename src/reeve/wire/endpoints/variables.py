"""Operations on variables: operators and runs read and write them, operators delete them."""

from __future__ import annotations

from reeve.wire import queries, requests, responses
from reeve.wire.endpoints.table import RUN, Endpoint, filtering

create_variable: Endpoint[requests.VariableCreate, responses.Variable] = Endpoint(
    "create_variable", "POST", "/variables/", requests.VariableCreate, responses.Variable, 201, door=RUN
)
read_variable: Endpoint[None, responses.Variable] = Endpoint(
    "read_variable", "GET", "/variables/name/{name}", None, responses.Variable, door=RUN
)
read_variable_by_id: Endpoint[None, responses.Variable] = Endpoint(
    "read_variable_by_id", "GET", "/variables/{id}", None, responses.Variable, door=RUN
)
update_variable: Endpoint[requests.VariableUpdate, None] = Endpoint(
    "update_variable", "PATCH", "/variables/name/{name}", requests.VariableUpdate, None, 204, door=RUN
)
update_variable_by_id: Endpoint[requests.VariableUpdate, None] = Endpoint(
    "update_variable_by_id", "PATCH", "/variables/{id}", requests.VariableUpdate, None, 204, door=RUN
)
delete_variable: Endpoint[None, None] = Endpoint(
    "delete_variable", "DELETE", "/variables/name/{name}", None, None, 204
)
delete_variable_by_id: Endpoint[None, None] = Endpoint(
    "delete_variable_by_id", "DELETE", "/variables/{id}", None, None, 204
)
filter_variables = filtering(
    "filter_variables", "/variables/filter", queries.VariableQuery, responses.Variable
)
count_variables: Endpoint[queries.VariableFilters, int] = Endpoint(
    "count_variables", "POST", "/variables/count", queries.VariableFilters, int, door=RUN, body_optional=True
)
