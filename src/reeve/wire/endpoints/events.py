"""Operations of a feature that this server does not have: they are there to say so.

Clients of 2.20 stop asking when they are told that events or automations are not enabled.
"""

from __future__ import annotations

from reeve.wire.endpoints.table import RUN, Endpoint

Absent = Endpoint[None, None]  # no body is read, since none is used
NOWHERE = (404,)

create_events: Absent = Endpoint("create_events", "POST", "/events", None, None, door=RUN, refusals=NOWHERE)
filter_events: Absent = Endpoint(
    "filter_events", "POST", "/events/filter", None, None, door=RUN, refusals=NOWHERE
)
next_events: Absent = Endpoint(
    "next_events", "GET", "/events/filter/next", None, None, door=RUN, refusals=NOWHERE
)
count_events: Absent = Endpoint(
    "count_events", "POST", "/events/count-by/{countable}", None, None, door=RUN, refusals=NOWHERE
)

create_automation: Absent = Endpoint(
    "create_automation", "POST", "/automations/", None, None, door=RUN, refusals=NOWHERE
)
count_automations: Absent = Endpoint(
    "count_automations", "POST", "/automations/count", None, None, door=RUN, refusals=NOWHERE
)
filter_automations: Absent = Endpoint(
    "filter_automations", "POST", "/automations/filter", None, None, door=RUN, refusals=NOWHERE
)
delete_automations_of: Absent = Endpoint(
    "delete_automations_of",
    "DELETE",
    "/automations/owned-by/{resource}",
    None,
    None,
    door=RUN,
    refusals=NOWHERE,
)
automations_about: Absent = Endpoint(
    "automations_about", "GET", "/automations/related-to/{resource}", None, None, door=RUN, refusals=NOWHERE
)
read_automation: Absent = Endpoint(
    "read_automation", "GET", "/automations/{automation}", None, None, door=RUN, refusals=NOWHERE
)
change_automation: Absent = Endpoint(
    "change_automation", "PATCH", "/automations/{automation}", None, None, door=RUN, refusals=NOWHERE
)
replace_automation: Absent = Endpoint(
    "replace_automation", "PUT", "/automations/{automation}", None, None, door=RUN, refusals=NOWHERE
)
delete_automation: Absent = Endpoint(
    "delete_automation", "DELETE", "/automations/{automation}", None, None, door=RUN, refusals=NOWHERE
)
