"""Statements on messages, on the trash and on a box, for tests of their plans."""

from collections.abc import Awaitable, Callable, Iterator, Sequence, Sized
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from service.domain.batch import Reason
from service.domain.errors import MessageExpired
from service.domain.message import LAST_ID, Folder, MessageId, RemovedMessage, TrashCursor
from service.domain.retention import DEFAULT_RETENTION
from service.domain.vmbox import VmboxTrashCursor
from service.postgres import batches, recordings, trash
from service.postgres import messages as rows
from service.postgres.messages import MessageKey
from service.postgres.pins import record_pin_check
from service.postgres.pool import Connection
from service.postgres.retention import get_vmbox_rule, list_vmbox_rules, read_rules
from service.postgres.vmbox_trash import begin_purge, list_vmbox_trash
from service.postgres.vmboxes import delete_vmbox
from tests.support.builders import Box, some_audio, stored
from tests.support.large_database import SINCE, UNTIL
from tests.support.plans import PAGE

ById = Callable[[Connection, MessageKey], Awaitable[object]]


async def hear_one(connection: Connection, place: MessageKey) -> object:
    return await recordings.get_recording(connection, place, None)


async def file_one(connection: Connection, place: MessageKey) -> object:
    return await rows.change_folder(
        connection, place, Folder.DELETED, retained_since=SINCE, reason="api"
    )


async def remove_one(connection: Connection, place: MessageKey) -> object:
    return await rows.remove_message(connection, place, reason="api")


async def attach_to_one(connection: Connection, place: MessageKey) -> object:
    return await rows.attach_audio(
        connection,
        place,
        some_audio(),
        length_ms=1,
        retained_since=SINCE,
        max_message_count=None,
    )


async def store_one(connection: Connection, place: MessageKey) -> object:
    return await stored(
        connection, Box(place.account_id, place.vmbox_id), received_at=UNTIL, retained=True
    )


async def find_one_that_is_expired(connection: Connection, place: MessageKey) -> object:
    with pytest.raises(MessageExpired):
        await rows.change_folder(
            connection, place, Folder.SAVED, retained_since=UNTIL, reason="api"
        )
    return None


def trash_acts(
    box: Box, ids: Sequence[MessageId]
) -> Iterator[Callable[[Connection], Awaitable[object]]]:
    """Statements on the trash, each after the removal of the messages."""
    where = (box.account_id, box.vmbox_id)
    now = datetime.now(UTC)
    last = TrashCursor(now + timedelta(days=1), 999_912, LAST_ID)

    async def list_trash(connection: Connection) -> list[RemovedMessage]:
        return await trash.list_trash(
            connection, *where, last, PAGE, removed_after=SINCE, retained_since=SINCE
        )

    async def restore(connection: Connection) -> list[Reason | None]:
        return await trash.restore_messages(
            connection,
            *where,
            ids,
            removed_after=SINCE,
            removed_until=last.removed_at,
            retained_since=SINCE,
            max_stored_bytes=1_000_000_000,
        )

    async def purge(connection: Connection) -> dict[MessageId, str | None]:
        return await trash.purge_trash(connection, *where, None, 100)

    for use in (list_trash, restore, purge):

        async def act(
            connection: Connection, use: Callable[[Connection], Awaitable[Sized]] = use
        ) -> None:
            await batches.remove_messages(connection, *where, ids, folder=None, reason="api")
            assert len(await use(connection)) == len(ids)

        yield act


async def check_pin(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    await record_pin_check(connection, account_id, vmbox_id, is_valid=True)


async def check_wrong_pin(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    await record_pin_check(connection, account_id, vmbox_id, is_valid=False)


async def list_deleted(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    await delete_vmbox(connection, account_id, vmbox_id)
    last = VmboxTrashCursor(datetime.now(UTC) + timedelta(days=1), LAST_ID)
    (row,) = await list_vmbox_trash(connection, account_id, last, PAGE, deleted_after=SINCE)
    assert row.vmbox_id == vmbox_id


async def begin_purge_of(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    await delete_vmbox(connection, account_id, vmbox_id)
    assert await begin_purge(connection, account_id, None, 100) == [vmbox_id]


async def get_rules(connection: Connection, account_id: UUID, vmbox_id: UUID) -> None:
    assert await get_vmbox_rule(connection, account_id, vmbox_id) is None
    assert await list_vmbox_rules(connection, account_id) == {}
    assert not (await read_rules(connection, DEFAULT_RETENTION)).vmboxes
