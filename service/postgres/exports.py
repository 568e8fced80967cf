"""Exports: one function per statement of exports.sql."""

from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.account import Account
from service.domain.message import Audio, Message, MessageId
from service.domain.schema import Document
from service.domain.transcription import Word
from service.postgres.accounts import to_account
from service.postgres.audio import to_audio
from service.postgres.messages import to_message
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.postgres.transcriptions import decode_words

_SQL = load("exports")


class AccountPosition(msgspec.Struct, frozen=True, array_like=True):
    """Position of an account in an export: its depth in the tree, and its id."""

    depth: int
    account_id: UUID


class ExportedUser(msgspec.Struct, frozen=True, kw_only=True):
    """User without a password."""

    user_id: UUID
    document: Document


class ExportedGreeting(msgspec.Struct, frozen=True, kw_only=True):
    """Greeting. `audio` is None until audio is uploaded."""

    media_id: UUID
    owner_id: UUID | None
    document: Document
    audio: Audio | None


class ExportedVmbox(msgspec.Struct, frozen=True, kw_only=True):
    """Box with its encrypted PIN. With `deleted_at` it has been in the trash since that time."""

    vmbox_id: UUID
    document: Document
    pin_sealed: bytes | None
    deleted_at: datetime | None


class ExportedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Message with audio. With `removed_at` it has been in the trash since that time."""

    message: Message
    changed_at: datetime
    removed_at: datetime | None
    words: tuple[Word, ...] = ()


async def export_accounts(
    connection: Connection, account_id: UUID, after: AccountPosition, limit: int
) -> list[Account]:
    """Returns an account and the accounts below it, parents first, after a position."""
    rows = await _SQL["export_accounts"].fetch(
        connection,
        account_id=account_id,
        depth=after.depth,
        after=after.account_id,
        limit=limit,
    )
    return [to_account(row) for row in rows]


async def export_users(
    connection: Connection, account_id: UUID, after: UUID, limit: int
) -> list[ExportedUser]:
    """Returns the users of an account after an id."""
    rows = await _SQL["export_users"].fetch(
        connection, account_id=account_id, after=after, limit=limit
    )
    return [ExportedUser(user_id=row["user_id"], document=row["document"]) for row in rows]


async def export_greetings(
    connection: Connection, account_id: UUID, after: UUID, limit: int
) -> list[ExportedGreeting]:
    """Returns the greetings of an account after an id."""
    rows = await _SQL["export_greetings"].fetch(
        connection, account_id=account_id, after=after, limit=limit
    )
    return [
        ExportedGreeting(
            media_id=row["media_id"],
            owner_id=row["owner_id"],
            document=row["document"],
            audio=to_audio(row),
        )
        for row in rows
    ]


async def export_vmboxes(
    connection: Connection, account_id: UUID, after: UUID, limit: int, *, deleted_after: datetime
) -> list[ExportedVmbox]:
    """Returns the boxes of an account after an id, also those deleted after a time."""
    rows = await _SQL["export_vmboxes"].fetch(
        connection, account_id=account_id, after=after, limit=limit, deleted_after=deleted_after
    )
    return [ExportedVmbox(**row) for row in rows]


async def export_messages(
    connection: Connection,
    account_id: UUID,
    after: MessageId,
    limit: int,
    *,
    deleted_after: datetime,
) -> list[ExportedMessage]:
    """Returns the messages of the boxes of `export_vmboxes` after an id, by month and id."""
    rows = await _SQL["export_messages"].fetch(
        connection,
        account_id=account_id,
        month=after.month,
        after=after.id,
        limit=limit,
        deleted_after=deleted_after,
    )
    return [
        ExportedMessage(
            message=to_message(row),
            changed_at=row["changed_at"],
            removed_at=row["removed_at"],
            words=tuple(decode_words(row["words"])),
        )
        for row in rows
    ]


async def count_exported_messages(
    connection: Connection, account_id: UUID, *, deleted_after: datetime
) -> int:
    """Returns the number of messages that an export of the account contains."""
    count: int = await _SQL["count_exported_messages"].fetchval(
        connection, account_id=account_id, deleted_after=deleted_after
    )
    return count
