"""Boxes: rows <-> domain; one function per statement of vmboxes.sql. PINs stay sealed here."""

from collections.abc import Collection
from uuid import UUID

import asyncpg
import msgspec

from service.domain.errors import GreetingNotFound, NumberTaken, VmboxNotFound
from service.domain.message import parse_hex_id
from service.domain.page import NameCursor
from service.domain.recipient import Recipient, recipients_of
from service.domain.schema import Document
from service.domain.vmbox import MessageCounts, Vmbox, addresses_of, greetings_of, numbers_of
from service.postgres.pool import Connection
from service.postgres.sql import load
from service.traces import traceparent

_SQL = load("vmboxes")


class StoredVmbox(msgspec.Struct, frozen=True, kw_only=True):
    """A box as it lies in its row: `vmbox.pin` is None, the PIN is sealed."""

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

    Raises NumberTaken when another box of the account has one of its numbers; GreetingNotFound.
    """
    try:
        row = await connection.fetchrow(
            _SQL["insert_vmbox"],
            account_id,
            vmbox_id,
            document["name"],
            document,
            pin_sealed,
            sorted(numbers_of(document)),
            document["mailbox"],
            document.get("max_message_count"),
            traceparent(),
            sorted(_known_ids(document)),
        )
    except asyncpg.IntegrityConstraintViolationError as error:
        raise _refusal(error) from error
    assert row is not None, "an INSERT that does not fail returns its row"
    return _to_vmbox(row)


async def update_vmbox(
    connection: Connection,
    before: Vmbox,
    document: Document,
    pin_sealed: bytes | None,
    recipients: tuple[Recipient, ...],
) -> StoredVmbox | None:
    """Replaces the document of a box as it was read; None when it was changed since.

    Raises NumberTaken when another box of the account has one of its numbers; GreetingNotFound.
    """
    held, wanted = numbers_of(before.document), numbers_of(document)
    played, to_play = _ids(before.document), _known_ids(document)
    try:
        row = await connection.fetchrow(
            _SQL["update_vmbox"],
            before.account_id,
            before.vmbox_id,
            before.revision,
            document["name"],
            document,
            pin_sealed,
            sorted(held - wanted),
            sorted(wanted - held),
            document["mailbox"],
            document.get("max_message_count"),
            traceparent(),
            sorted(played - to_play),
            sorted(to_play - played),
            recipients,
        )
    except asyncpg.IntegrityConstraintViolationError as error:
        raise _refusal(error) from error
    return None if row is None else _to_vmbox(row)


async def lock_vmbox(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    """Holds a box, if there is one, until the transaction ends."""
    await connection.execute(_SQL["lock_vmbox"], account_id, vmbox_id)


async def delete_vmbox(connection: Connection, account_id: UUID, vmbox_id: UUID) -> StoredVmbox:
    """Deletes a box, which must be held. Raises VmboxNotFound."""
    row = await connection.fetchrow(_SQL["delete_vmbox"], account_id, vmbox_id, traceparent())
    if row is None:
        raise VmboxNotFound(vmbox_id.hex)
    return _to_vmbox(row)


async def get_vmbox(connection: Connection, account_id: UUID, vmbox_id: UUID) -> StoredVmbox:
    """One box with its counts. Raises VmboxNotFound."""
    row = await connection.fetchrow(_SQL["get_vmbox"], account_id, vmbox_id)
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
) -> list[StoredVmbox]:
    """The boxes of an account by (name, id) from `start` on."""
    if descending:
        name, vmbox_id = (start.name, start.id) if start else (None, None)
        statement = _SQL["list_vmboxes_descending"]
    else:
        name, vmbox_id = (start.name, start.id) if start else ("", UUID(int=0))
        statement = _SQL["list_vmboxes"]
    rows = await connection.fetch(statement, account_id, name, vmbox_id, limit)
    return [_to_vmbox(row) for row in rows]


async def numbers_taken(
    connection: Connection, account_id: UUID, vmbox_id: UUID, numbers: Collection[str]
) -> bool:
    """Whether another box of the account answers to one of the numbers."""
    taken: bool = await connection.fetchval(
        _SQL["numbers_taken"], account_id, vmbox_id, list(numbers)
    )
    return taken


async def lowest_free_number(connection: Connection, account_id: UUID) -> str | None:
    """A number of four digits that stays free until the transaction ends, unless somebody names
    it; None when all are taken."""
    await connection.execute(_SQL["lock_numbers"], account_id)
    number: str | None = await connection.fetchval(_SQL["lowest_free_number"], account_id)
    return number


def _refusal(error: asyncpg.IntegrityConstraintViolationError) -> Exception:
    match error.constraint_name:
        case "vmbox_number_is_unique":
            return NumberTaken()
        case "vmbox_media_exists":
            return GreetingNotFound()
        case _:
            return error


def _known_ids(document: Document) -> set[UUID]:
    """The greetings that a box is to play; what is no id raises GreetingNotFound."""
    ids = _ids(document)
    if len(ids) < len(set(greetings_of(document).values())):
        raise GreetingNotFound
    return ids


def _ids(document: Document) -> set[UUID]:
    found = map(parse_hex_id, greetings_of(document).values())
    return {media_id for media_id in found if media_id is not None}


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
