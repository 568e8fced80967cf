"""Imports: one function per statement of imports.sql."""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from service.domain.account import Quota
from service.domain.errors import QuotaExceeded, VmboxNotFound
from service.domain.message import ForwardStep
from service.domain.schema import Document
from service.domain.transcription import Word
from service.postgres.audit import event_values
from service.postgres.messages import Draft, MessageKey
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.postgres.transcriptions import encode_words
from service.postgres.vmboxes import document_values

_SQL = load("imports")


class _ImportOutcome(StrEnum):
    """Outcome of the import of a message."""

    DONE = "done"
    EXISTS = "exists"
    QUOTA_EXCEEDED = "quota_exceeded"
    VMBOX_NOT_FOUND = "vmbox_not_found"


async def import_message(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    draft: Draft,
    *,
    transcription: dict[str, Any] | None,
    words: Sequence[Word] = (),
    forwarded: Sequence[ForwardStep],
    changed_at: datetime | None,
    removed_at: datetime | None,
    vmbox_deleted_at: datetime | None,
    max_stored_bytes: int | None,
) -> bool:
    """Stores a message with its original times. Returns False when its id is stored already.

    A deleted box receives it only if the box was deleted at `vmbox_deleted_at`.

    Raises VmboxNotFound, QuotaExceeded, and MissingPartition when the partition of the month must
    be created first.
    """
    outcome = await _SQL["import_message"].fetchval(
        connection,
        **MessageKey(account_id, vmbox_id, draft.id).values(),
        **draft.values(),
        counted=draft.retained and removed_at is None,
        transcription=transcription,
        words=encode_words(words),
        forwarded=msgspec.to_builtins(forwarded) or None,
        changed_at=changed_at,
        removed_at=removed_at,
        vmbox_deleted_at=vmbox_deleted_at,
        max_stored_bytes=max_stored_bytes,
        **event_values(),
    )
    match _ImportOutcome(outcome or _ImportOutcome.VMBOX_NOT_FOUND):
        case _ImportOutcome.VMBOX_NOT_FOUND:
            raise VmboxNotFound(vmbox_id.hex)
        case _ImportOutcome.QUOTA_EXCEEDED:
            raise QuotaExceeded(Quota.STORED_BYTES, max_stored_bytes or 0)
        case other:
            return other is _ImportOutcome.DONE


async def is_account_known(connection: Connection, account_id: UUID) -> bool:
    """Returns True when an account has the id, deleted or not."""
    known: bool = await _SQL["is_account_known"].fetchval(connection, account_id=account_id)
    return known


async def is_vmbox_known(connection: Connection, account_id: UUID, vmbox_id: UUID) -> bool:
    """Returns True when a box of the account has the id, deleted or not."""
    known: bool = await _SQL["is_vmbox_known"].fetchval(
        connection, account_id=account_id, vmbox_id=vmbox_id
    )
    return known


async def import_deleted_vmbox(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    document: Document,
    pin_sealed: bytes | None,
    deleted_at: datetime,
) -> None:
    """Creates a box in the trash of its account, unless its id is known."""
    await _SQL["import_deleted_vmbox"].execute(
        connection,
        account_id=account_id,
        vmbox_id=vmbox_id,
        **document_values(document, pin_sealed),
        deleted_at=deleted_at,
    )


async def is_vmbox_in_trash(
    connection: Connection, account_id: UUID, vmbox_id: UUID, deleted_at: datetime
) -> bool:
    """Returns True when a box was deleted at that time and is not emptied yet."""
    in_trash: bool = await _SQL["is_vmbox_in_trash"].fetchval(
        connection, account_id=account_id, vmbox_id=vmbox_id, deleted_at=deleted_at
    )
    return in_trash


async def find_vmbox_by_numbers(
    connection: Connection, account_id: UUID, numbers: Collection[str]
) -> UUID | None:
    """Returns the box that has one of the numbers."""
    vmbox_id: UUID | None = await _SQL["find_vmbox_by_numbers"].fetchval(
        connection, account_id=account_id, numbers=sorted(numbers)
    )
    return vmbox_id


async def find_user_by_name(connection: Connection, account_id: UUID, username: str) -> UUID | None:
    """Returns the user of the account that has the name."""
    user_id: UUID | None = await _SQL["find_user_by_name"].fetchval(
        connection, account_id=account_id, username=username
    )
    return user_id
