"""Forwarded messages: one function per statement of forwards.sql."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.batch import Reason
from service.domain.forwarding import ForwardTarget
from service.domain.message import Audio, ForwardStep, MessageId
from service.postgres.audio import audio_values
from service.postgres.audit import event_values
from service.postgres.messages import MessageKey
from service.postgres.pool import Connection
from service.postgres.sql import load

_SQL = load("forwards")

_REASONS = {
    "vmbox_not_found": Reason.NOT_FOUND,
    "conflict": Reason.CONFLICT,
    "full": Reason.FULL,
    "quota_exceeded": Reason.QUOTA_EXCEEDED,
}


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """Message of a forwarding whose audio is stored. `source_key` is the audio that was read."""

    source: MessageKey
    source_key: str
    target: UUID
    new_id: MessageId
    audio: Audio
    length_ms: int
    steps: Sequence[ForwardStep]


async def list_forward_targets(
    connection: Connection, account_id: UUID, vmbox_ids: Collection[UUID]
) -> dict[UUID, ForwardTarget]:
    """Returns the boxes that exist."""
    rows = await _SQL["list_forward_targets"].fetch(
        connection, account_id=account_id, vmbox_ids=list(vmbox_ids)
    )
    return {row["vmbox_id"]: ForwardTarget(**row) for row in rows}


async def forward_message(
    connection: Connection,
    forward: Forward,
    *,
    now: datetime,
    realm: str,
    max_message_count: int | None,
    max_stored_bytes: int | None,
) -> Reason | None:
    """Stores a forwarded message. Returns the reason of a failure, or None."""
    outcome = await _SQL["forward_message"].fetchval(
        connection,
        **forward.source.values(),
        source_key=forward.source_key,
        target_id=forward.target,
        new_month=forward.new_id.month,
        new_id=forward.new_id.id,
        **audio_values(forward.audio),
        length_ms=forward.length_ms,
        forwarded=msgspec.to_builtins(forward.steps),
        now=now,
        realm=realm,
        account_max_message_count=max_message_count,
        max_stored_bytes=max_stored_bytes,
        **event_values(),
    )
    # Without a row, the box was purged.
    return None if outcome == "done" else _REASONS.get(outcome, Reason.NOT_FOUND)
