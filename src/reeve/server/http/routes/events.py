"""Events and automations of 2.20, which its servers have only as an experiment: they are not enabled."""

from __future__ import annotations

from reeve.errors import NotFoundError
from reeve.server.http.request import Request, Route, serves
from reeve.wire import endpoints
from reeve.wire.endpoints.events import Absent

# Clients of 2.20 recognise these sentences, and leave the feature alone (api-contract §4).
NO_EVENTS = "Events are not enabled. Please enable the PREFECT_EXPERIMENTAL_EVENTS setting."
NO_AUTOMATIONS = (
    "Automations are not enabled. Please enable the PREFECT_EXPERIMENTAL_EVENTS and "
    "PREFECT_API_SERVICES_TRIGGERS_ENABLED settings."
)


def _absent(endpoint: Absent, sentence: str) -> Route:
    @serves(endpoint)
    async def refuse(_: Request[None]) -> None:
        raise NotFoundError(sentence)

    return refuse


create_events = _absent(endpoints.create_events, NO_EVENTS)
filter_events = _absent(endpoints.filter_events, NO_EVENTS)
next_events = _absent(endpoints.next_events, NO_EVENTS)
count_events = _absent(endpoints.count_events, NO_EVENTS)

create_automation = _absent(endpoints.create_automation, NO_AUTOMATIONS)
count_automations = _absent(endpoints.count_automations, NO_AUTOMATIONS)
filter_automations = _absent(endpoints.filter_automations, NO_AUTOMATIONS)
delete_automations_of = _absent(endpoints.delete_automations_of, NO_AUTOMATIONS)
automations_about = _absent(endpoints.automations_about, NO_AUTOMATIONS)
read_automation = _absent(endpoints.read_automation, NO_AUTOMATIONS)
change_automation = _absent(endpoints.change_automation, NO_AUTOMATIONS)
replace_automation = _absent(endpoints.replace_automation, NO_AUTOMATIONS)
delete_automation = _absent(endpoints.delete_automation, NO_AUTOMATIONS)
