"""Operations of events."""

from service.api.description.openapi.operations import Operation
from service.api.kazoo import events
from service.api.kazoo.openapi import samples
from service.api.kazoo.openapi.bodies import events as events_response
from service.api.kazoo.openapi.vmboxes import UNKNOWN_VMBOX
from service.domain.errors import Invalid, Rule, TooManyStreams

TAG = {"name": "Events", "description": "Events for clients without a connection to NATS"}

_BAD_CURSOR = Invalid.of("since", Rule.WRONG_FORMAT, value="x", message=events.BAD_CURSOR)
_BAD_NAME = Invalid.of("event", Rule.ENUM, target=[events.MESSAGE], value="x")
_ANSWERS = {200: events_response(samples.EVENT)}

OPERATIONS = (
    Operation(
        handler=events.account_events,
        parameters=("since", "last_event_id", "event", "page_size"),
        answers=_ANSWERS,
        refusals=(_BAD_CURSOR, _BAD_NAME, TooManyStreams()),
    ),
    Operation(
        handler=events.vmbox_events,
        parameters=("since", "last_event_id", "event", "page_size"),
        answers=_ANSWERS,
        refusals=(_BAD_CURSOR, _BAD_NAME, TooManyStreams(), UNKNOWN_VMBOX),
    ),
)
