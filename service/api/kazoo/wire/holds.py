"""JSON of legal holds, and of the manifest of their export."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.http.times import format_iso
from service.api.kazoo.times import gregorian
from service.api.kazoo.wire.types import DateTimeString, GregorianSeconds, HexId, MessageIdString
from service.domain.hold import HeldMessage, Hold
from service.domain.message import Folder


class HoldRow(msgspec.Struct, kw_only=True):
    """A legal hold."""

    id: HexId
    name: str
    reason: str
    vmbox_ids: (
        Annotated[list[str], Meta(description="The boxes; absent for the whole account")]
        | UnsetType
    ) = UNSET
    caller_id_number: (
        Annotated[str, Meta(description="The number of the caller; absent for all callers")]
        | UnsetType
    ) = UNSET
    created_from: GregorianSeconds | UnsetType = UNSET
    created_to: GregorianSeconds | UnsetType = UNSET
    created: GregorianSeconds


class HeldIdsResponse(msgspec.Struct, kw_only=True):
    """The given messages that a hold covers."""

    held: list[MessageIdString]


class ManifestRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A held message in the manifest. `sha256` is computed from the exported bytes."""

    media_id: MessageIdString
    vmbox_id: HexId
    received_at: DateTimeString
    removed_at: DateTimeString | None = None
    folder: Folder
    length_ms: int
    caller_id_number: str
    caller_id_name: str
    call_id: str
    from_uri: str
    to_uri: str
    transcription: dict[str, Any] | None = None
    file: str | None = None
    size: int | None = None
    sha256: str | None = None
    is_unchanged: bool | None = None


def hold_row(hold: Hold) -> HoldRow:
    """Returns a legal hold as a response."""
    boxes, since, until = hold.vmbox_ids, hold.received_from, hold.received_to
    return HoldRow(
        id=hold.hold_id.hex,
        name=hold.name,
        reason=hold.reason,
        vmbox_ids=UNSET if boxes is None else [box.hex for box in boxes],
        caller_id_number=UNSET if hold.caller_id_number is None else hold.caller_id_number,
        created_from=UNSET if since is None else gregorian(since),
        created_to=UNSET if until is None else gregorian(until),
        created=gregorian(hold.created_at),
    )


def manifest_row(held: HeldMessage, **file: Any) -> ManifestRow:
    """Returns a held message with the file of its audio, if it has audio."""
    message, removed_at = held.message, held.removed_at
    return ManifestRow(
        media_id=str(message.id),
        vmbox_id=message.vmbox_id.hex,
        received_at=format_iso(message.received_at),
        removed_at=None if removed_at is None else format_iso(removed_at),
        folder=message.folder,
        length_ms=message.length_ms,
        caller_id_number=message.caller_id.number,
        caller_id_name=message.caller_id.name,
        call_id=message.call_id,
        from_uri=message.from_uri,
        to_uri=message.to_uri,
        transcription=message.transcription,
        **file,
    )
