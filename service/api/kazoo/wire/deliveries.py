"""JSON of dead deliveries."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.kazoo.times import gregorian
from service.api.kazoo.wire.types import Count, GregorianSeconds, HexId, MessageIdString
from service.domain.delivery import DeadDelivery


class DeadDeliveryRow(msgspec.Struct, kw_only=True):
    """A delivery that has failed after all retries."""

    event_id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    type: (
        Annotated[str, Meta(description="The type of the event, such as `message.new`")] | UnsetType
    ) = UNSET
    channel: Annotated[str, Meta(description="Such as `email` or `webhook`")]
    target: Annotated[
        str, Meta(description="The recipient, such as an address; empty for the event itself")
    ]
    attempts: Count
    created: GregorianSeconds
    failed: (
        Annotated[int, Meta(description="Gregorian seconds of the last attempt")] | UnsetType
    ) = UNSET
    error: (
        Annotated[str, Meta(description="The last error; only of `email` and `webhook`")]
        | UnsetType
    ) = UNSET
    vmbox_id: HexId | UnsetType = UNSET
    media_id: MessageIdString | UnsetType = UNSET


class RetriedResponse(msgspec.Struct, kw_only=True):
    """Outcome of a retry."""

    retried: Annotated[int, Meta(ge=0, description="The number of deliveries that are due again")]


def dead_delivery_row(delivery: DeadDelivery) -> DeadDeliveryRow:
    """Returns a dead delivery as a row of a list."""
    failed_at, vmbox_id = delivery.failed_at, delivery.vmbox_id
    return DeadDeliveryRow(
        event_id=str(delivery.event_id),
        type=delivery.event_type or UNSET,
        channel=delivery.channel,
        target=delivery.target,
        attempts=delivery.attempts,
        created=gregorian(delivery.created_at),
        failed=UNSET if failed_at is None else gregorian(failed_at),
        error=delivery.public_error or UNSET,
        vmbox_id=UNSET if vmbox_id is None else vmbox_id.hex,
        media_id=delivery.media_id or UNSET,
    )
