"""Operations of dead deliveries."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import deliveries
from service.api.kazoo.openapi import sample_requests, samples
from service.api.kazoo.openapi.bodies import envelope, pages, success
from service.api.kazoo.openapi.parameters import PAGES
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.api.kazoo.wire.deliveries import DeadDeliveryRow, RetriedResponse
from service.domain.errors import Invalid, Rule

TAG = {"name": "Deliveries", "description": "Notifications that have failed after all retries"}

_BAD_ID = Invalid.of("event_id", Rule.WRONG_FORMAT, value="x")

OPERATIONS = (
    Operation(
        handler=deliveries.list_dead_deliveries,
        parameters=PAGES,
        answers=pages(
            ref(DeadDeliveryRow), samples.DEAD_DELIVERY, description="A page of deliveries"
        ),
        refusals=BAD_LIST,
    ),
    Operation(
        handler=deliveries.retry_dead_deliveries,
        body=envelope(
            ref("DeliverySelection"),
            {"all": {}, "event": {"event_id": sample_requests.EVENT_ID}},
            required=False,
        ),
        answers={
            200: success(ref(RetriedResponse), RetriedResponse(retried=3), description="The result")
        },
        refusals=(_BAD_ID,),
    ),
)
