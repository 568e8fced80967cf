"""Boxes: one function per statement of vmboxes.sql. PINs stay encrypted here."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.domain.errors import GreetingNotFound, NumberTaken, VmboxNotFound
from service.domain.message import parse_hex_id
from service.domain.page import NameCursor
from service.domain.recipient import Recipient, recipients_of
from service.domain.schema import Document
from service.domain.vmbox import MessageCounts, Vmbox, addresses_of, greetings_of, numbers_of
from service.postgres.audit import event_values
from service.postgres.pool import Connection
from service.postgres.sql import load, page_start

_SQL = load("vmboxes")


class StoredVmbox(msgspec.Struct, frozen=True, kw_only=True):
    """Box as stored: `vmbox.pin` is None, and the PIN is encrypted."""

    vmbox: Vmbox
    pin_sealed: bytes | None


async def insert_vmbox(
    connection: Connection,
    account_id: UUID,
    vmbox_id: UUID,
    document: Document,
    pin_sealed: bytes | None,
) -> StoredVmbox:
    """Creates a box.

    Raises NumberTaken when another box of the account has one of the numbers, and
    GreetingNotFound.
    """
    try:
        row = await _SQL["insert_vmbox"].fetchrow(
            connection,
            account_id=account_id,
            vmbox_id=vmbox_id,
            **document_values(document, pin_sealed),
            numbers=sorted(numbers_of(document)),
            greeting_ids=sorted(valid_greeting_ids(document)),
            **event_values(),
        )
    except asyncpg.IntegrityConstraintViolationError as error:
        raise translate_error(error) from error
    assert row is not None, "an INSERT that does not fail returns its row"
    return _to_vmbox(row)


async def update_vmbox(
    connection: Connection,
    before: Vmbox,
    document: Document,
    pin_sealed: bytes | None,
    recipients: tuple[Recipient, ...],
    *,
    is_pin_changed: bool = False,
) -> StoredVmbox | None:
    """Replaces the document of a box. Returns None when `before` is no longer its revision.

    Raises NumberTaken when another box of the account has one of the numbers, and
    GreetingNotFound.
    """
    old_numbers, new_numbers = numbers_of(before.document), numbers_of(document)
    old_greetings, new_greetings = _greeting_ids(before.document), valid_greeting_ids(document)
    try:
        row = await _SQL["update_vmbox"].fetchrow(
            connection,
            account_id=before.account_id,
            vmbox_id=before.vmbox_id,
            revision=before.revision,
            **document_values(document, pin_sealed),
            removed_numbers=sorted(old_numbers - new_numbers),
            added_numbers=sorted(new_numbers - old_numbers),
            removed_greeting_ids=sorted(old_greetings - new_greetings),
            added_greeting_ids=sorted(new_greetings - old_greetings),
            recipients=recipients,
            is_pin_changed=is_pin_changed,
            **event_values(),
        )
    except asyncpg.IntegrityConstraintViolationError as error:
        raise translate_error(error) from error
    return None if row is None else _to_vmbox(row)


async def lock_vmbox(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    """Locks a box, if it exists, until the transaction ends."""
    await _SQL["lock_vmbox"].execute(connection, account_id=account_id, vmbox_id=vmbox_id)


async def delete_vmbox(connection: Connection, account_id: UUID, vmbox_id: UUID) -> StoredVmbox:
    """Deletes a locked box. Raises VmboxNotFound."""
    row = await _SQL["delete_vmbox"].fetchrow(
        connection, account_id=account_id, vmbox_id=vmbox_id, **event_values()
    )
    if row is None:
        raise VmboxNotFound(vmbox_id.hex)
    return _to_vmbox(row)


async def get_vmbox(connection: Connection, account_id: UUID, vmbox_id: UUID) -> StoredVmbox:
    """Returns a box with its counts. Raises VmboxNotFound."""
    row = await _SQL["get_vmbox"].fetchrow(connection, account_id=account_id, vmbox_id=vmbox_id)
    if row is None:
        raise VmboxNotFound(vmbox_id.hex)
    return _to_vmbox(row)


async def list_vmboxes(
    connection: Connection,
    account_id: UUID,
    start: NameCursor | None,
    limit: int,
    *,
    descending: bool = False,
    vmbox_ids: Collection[UUID] | None = None,
    keys: Collection[str] | None = None,
) -> list[StoredVmbox]:
    """Returns the boxes (of `vmbox_ids`, if given) by (name, id) from `start` on.

    With `keys`, documents have only these keys, and recipients are not read.
    """
    statement = _SQL["list_vmboxes_descending" if descending else "list_vmboxes"]
    rows = await statement.fetch(
        connection,
        account_id=account_id,
        vmbox_ids=vmbox_ids,
        keys=keys,
        **page_start(start, descending),
        limit=limit,
    )
    return [_to_vmbox(row) for row in rows]


async def count_vmboxes(connection: Connection, account_id: UUID, limit: int) -> int:
    """Returns the number of boxes of an account, counted up to `limit`."""
    count: int = await _SQL["count_vmboxes"].fetchval(
        connection, account_id=account_id, limit=limit
    )
    return count


async def are_numbers_taken(
    connection: Connection, account_id: UUID, vmbox_id: UUID, numbers: Collection[str]
) -> bool:
    """Returns True when another box of the account has one of the numbers."""
    taken: bool = await _SQL["are_numbers_taken"].fetchval(
        connection, account_id=account_id, vmbox_id=vmbox_id, numbers=list(numbers)
    )
    return taken


async def lowest_free_number(connection: Connection, account_id: UUID) -> str | None:
    """Returns the lowest free number of four digits, or None when all are taken.

    Until the transaction ends, no other call returns the number. A request that names it may still
    take it.
    """
    await _SQL["lock_numbers"].execute(connection, account_id=account_id)
    number: str | None = await _SQL["lowest_free_number"].fetchval(
        connection, account_id=account_id
    )
    return number


def translate_error(error: asyncpg.IntegrityConstraintViolationError) -> Exception:
    """Returns NumberTaken or GreetingNotFound for a broken constraint of a box."""
    match error.constraint_name:
        case "vmbox_number_is_unique":
            return NumberTaken()
        case "vmbox_media_exists":
            return GreetingNotFound()
        case _:
            return error


def document_values(document: Document, pin_sealed: bytes | None) -> dict[str, Any]:
    """Returns the values of the columns that a document sets."""
    return {
        "name": document["name"],
        "document": document,
        "pin_sealed": pin_sealed,
        "mailbox": document["mailbox"],
        "max_message_count": document.get("max_message_count"),
    }


def valid_greeting_ids(document: Document) -> set[UUID]:
    """Returns the greetings of a box. Raises GreetingNotFound for a malformed id."""
    ids = _greeting_ids(document)
    if len(ids) < len(set(greetings_of(document).values())):
        raise GreetingNotFound
    return ids


def _greeting_ids(document: Document) -> set[UUID]:
    ids = map(parse_hex_id, greetings_of(document).values())
    return {media_id for media_id in ids if media_id is not None}


def _to_vmbox(row: asyncpg.Record) -> StoredVmbox:
    vmbox = Vmbox(
        account_id=row["account_id"],
        vmbox_id=row["vmbox_id"],
        document=row["document"],
        pin=None,
        revision=row["revision"],
        created_at=row["created_at"],
        modified_at=row["modified_at"],
        counts=MessageCounts(new=row["new_count"], saved=row["saved_count"]),
        recipients=recipients_of(
            row["vmbox_id"],
            addresses_of(row["document"]),
            msgspec.convert(row["recipients"], list[Recipient]),
            row["created_at"],
        ),
    )
    return StoredVmbox(vmbox=vmbox, pin_sealed=row["pin_sealed"])
