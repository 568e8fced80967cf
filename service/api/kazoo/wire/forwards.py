"""JSON of forwarded messages."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.times import format_time
from service.api.kazoo.wire.types import DateTimeString, HexId, MessageIdString
from service.domain.message import ForwardStep


class ForwardStepFields(msgspec.Struct, kw_only=True):
    """One forwarding of a message."""

    vmbox_id: Annotated[HexId, Meta(description="The box from which it was forwarded")]
    media_id: Annotated[MessageIdString, Meta(description="Its id in this box")]
    principal: Annotated[str, Meta(description="The kind of the actor, as in the audit")]
    principal_id: (
        Annotated[HexId, Meta(description="The user; without a user, the account")] | UnsetType
    ) = UNSET
    timestamp: Annotated[
        int | DateTimeString,
        Meta(description="Gregorian seconds; ISO-8601 in the `audian` profile"),
    ]


class ForwardResponse(msgspec.Struct, kw_only=True):
    """Outcome of the forwarding of a message."""

    succeeded: Annotated[list[MessageIdString], Meta(description="The new messages")]
    failed: Annotated[
        list[Annotated[dict[str, str], Meta(min_length=1, max_length=1)]],
        Meta(
            description="One object per box: its id and the reason. The id of the original is here "
            "if it could not be changed afterwards"
        ),
    ]


def forward_steps(steps: Iterable[ForwardStep], profile: WireProfile) -> list[ForwardStepFields]:
    """Returns the forwardings of a message."""
    return [
        ForwardStepFields(
            vmbox_id=step.vmbox_id.hex,
            media_id=step.media_id,
            principal=step.principal,
            principal_id=UNSET if step.principal_id is None else step.principal_id.hex,
            timestamp=format_time(step.at, profile),
        )
        for step in steps
    ]
