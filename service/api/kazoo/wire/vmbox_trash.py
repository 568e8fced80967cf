"""JSON of the trash of an account."""

from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.times import format_time
from service.api.kazoo.wire.messages import REASONS
from service.api.kazoo.wire.types import DateTimeString, HexId
from service.domain.batch import VmboxBatchResult
from service.domain.vmbox import DeletedVmbox

_Time = Annotated[
    int | DateTimeString,
    Meta(description="Gregorian seconds; ISO-8601 in the `audian` profile"),
]


class VmboxTrashRow(msgspec.Struct, kw_only=True):
    """A deleted box in the list of the trash."""

    id: HexId
    name: str
    mailbox: str
    deleted_at: _Time
    restorable_until: _Time


class VmboxBatchResponse(msgspec.Struct, kw_only=True):
    """Outcome of a request about several boxes."""

    succeeded: list[HexId]
    failed: list[dict[str, str]]
    numbers: (
        Annotated[
            dict[str, list[str]],
            Meta(description="For each box that failed with `number_taken`: the taken numbers"),
        ]
        | UnsetType
    ) = UNSET


def vmbox_trash_row(vmbox: DeletedVmbox, grace: timedelta, profile: WireProfile) -> VmboxTrashRow:
    """Returns a deleted box as a row of a list; it is purged after `grace`."""
    return VmboxTrashRow(
        id=vmbox.vmbox_id.hex,
        name=vmbox.name,
        mailbox=vmbox.mailbox,
        deleted_at=format_time(vmbox.deleted_at, profile),
        restorable_until=format_time(vmbox.deleted_at + grace, profile),
    )


def vmbox_batch_response(result: VmboxBatchResult) -> VmboxBatchResponse:
    """Returns the outcome of a request about several boxes."""
    return VmboxBatchResponse(
        succeeded=[vmbox_id.hex for vmbox_id in result.succeeded],
        failed=[{text: REASONS[reason]} for text, reason in result.failed],
        numbers=result.numbers or UNSET,
    )
