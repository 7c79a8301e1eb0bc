"""Operations of a feature that this server does not have: they are there to say so.

Clients of 2.20 stop asking when they are told that events or automations are not enabled.
"""

from __future__ import annotations

from reeve.wire.endpoints.table import RUN, Endpoint

Absent = Endpoint[None, None]  # no body is read, since none is used
NOWHERE = (404,)


def _absent(name: str, method: str, path: str) -> Absent:
    return Endpoint(name, method, path, None, None, door=RUN, refusals=NOWHERE)


create_events = _absent("create_events", "POST", "/events")
filter_events = _absent("filter_events", "POST", "/events/filter")
next_events = _absent("next_events", "GET", "/events/filter/next")
count_events = _absent("count_events", "POST", "/events/count-by/{countable}")

create_automation = _absent("create_automation", "POST", "/automations/")
count_automations = _absent("count_automations", "POST", "/automations/count")
filter_automations = _absent("filter_automations", "POST", "/automations/filter")
delete_automations_of = _absent("delete_automations_of", "DELETE", "/automations/owned-by/{resource}")
automations_about = _absent("automations_about", "GET", "/automations/related-to/{resource}")
read_automation = _absent("read_automation", "GET", "/automations/{automation}")
change_automation = _absent("change_automation", "PATCH", "/automations/{automation}")
replace_automation = _absent("replace_automation", "PUT", "/automations/{automation}")
delete_automation = _absent("delete_automation", "DELETE", "/automations/{automation}")
