"""Changes and their audit records: both commit, or neither."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from service.domain.audit import Action
from service.domain.message import Folder, MessageId
from service.postgres import (
    batches,
    greetings,
    messages,
    trash,
    users,
    vmbox_trash,
    vmboxes,
    webhooks,
)
from service.postgres.audit import insert_change
from service.postgres.pool import Connection, Database
from tests.support.audit_records import actions
from tests.support.builders import RETAINED_SINCE, Box, a_draft, a_vmbox, some_audio, stored

Change = Callable[[Connection, Box, MessageId], Awaitable[object]]

_USER = {"username": "ann"}
_WEBHOOK = {"name": "All", "uri": "https://example.com/", "hook": "all", "enabled": True}
_GREETING = {"name": "Closed"}


async def store(connection: Connection, box: Box, _id: MessageId) -> None:
    draft = a_draft()
    await messages.insert_message(
        connection, box.account_id, box.vmbox_id, draft, max_message_count=None
    )


async def store_pending(connection: Connection, box: Box, _id: MessageId) -> None:
    draft = a_draft(audio=None)
    await messages.insert_message(
        connection, box.account_id, box.vmbox_id, draft, max_message_count=None
    )


async def replace_audio(connection: Connection, box: Box, message_id: MessageId) -> None:
    await messages.attach_audio(
        connection,
        box.place(message_id),
        some_audio(),
        length_ms=1,
        retained_since=RETAINED_SINCE,
        max_message_count=None,
    )


async def change_folder(connection: Connection, box: Box, message_id: MessageId) -> None:
    await messages.change_folder(
        connection,
        box.place(message_id),
        Folder.SAVED,
        retained_since=RETAINED_SINCE,
        reason="api",
    )


async def remove(connection: Connection, box: Box, message_id: MessageId) -> None:
    await messages.remove_message(connection, box.place(message_id), reason="api")


async def change_folders(connection: Connection, box: Box, message_id: MessageId) -> None:
    await batches.change_folders(
        connection,
        box.account_id,
        box.vmbox_id,
        [message_id],
        Folder.SAVED,
        retained_since=RETAINED_SINCE,
        reason="api",
    )


async def remove_several(connection: Connection, box: Box, message_id: MessageId) -> None:
    await batches.remove_messages(
        connection, box.account_id, box.vmbox_id, [message_id], folder=None, reason="api"
    )


async def restore(connection: Connection, box: Box, message_id: MessageId) -> None:
    await remove(connection, box, message_id)
    await trash.restore_messages(
        connection,
        box.account_id,
        box.vmbox_id,
        [message_id],
        removed_after=RETAINED_SINCE,
        removed_until=datetime.now(UTC) + timedelta(days=1),
        retained_since=RETAINED_SINCE,
        max_stored_bytes=None,
    )


async def purge(connection: Connection, box: Box, message_id: MessageId) -> None:
    await remove(connection, box, message_id)
    await trash.purge_trash(connection, box.account_id, box.vmbox_id, [message_id], 100)


async def delete_box(connection: Connection, box: Box, _id: MessageId) -> None:
    await vmboxes.delete_vmbox(connection, box.account_id, box.vmbox_id)


async def restore_box(connection: Connection, box: Box, _id: MessageId) -> None:
    document = (await vmboxes.get_vmbox(connection, box.account_id, box.vmbox_id)).vmbox.document
    await vmboxes.delete_vmbox(connection, box.account_id, box.vmbox_id)
    await vmbox_trash.restore_vmbox(
        connection, box.account_id, box.vmbox_id, document, max_stored_bytes=None
    )


async def purge_box(connection: Connection, box: Box, _id: MessageId) -> None:
    await vmboxes.delete_vmbox(connection, box.account_id, box.vmbox_id)
    await vmbox_trash.begin_purge(connection, box.account_id, [box.vmbox_id], 100)


async def create_box(connection: Connection, box: Box, _id: MessageId) -> None:
    await a_vmbox(connection, box.account_id)


async def create_user(connection: Connection, box: Box, _id: MessageId) -> None:
    await users.insert_user(connection, box.account_id, uuid4(), _USER)


async def create_webhook(connection: Connection, box: Box, _id: MessageId) -> None:
    await webhooks.insert_webhook(connection, box.account_id, uuid4(), _WEBHOOK, b"")


async def create_greeting(connection: Connection, box: Box, _id: MessageId) -> None:
    await greetings.insert_greeting(connection, box.account_id, uuid4(), _GREETING, None)


CHANGES: list[tuple[Change, str]] = [
    (store, "message.new"),
    (store_pending, "message.new"),
    (replace_audio, "message.audio_replaced"),
    (change_folder, "message.folder_changed"),
    (remove, "message.removed"),
    (change_folders, "message.folder_changed"),
    (remove_several, "message.removed"),
    (restore, "message.removed message.restored"),
    (purge, "message.removed message.purged"),
    (create_box, "vmbox.created"),
    (delete_box, "vmbox.deleted"),
    (restore_box, "vmbox.deleted vmbox.restored"),
    (purge_box, "vmbox.deleted vmbox.purged"),
    (create_user, "user.created"),
    (create_webhook, "webhook.created"),
    (create_greeting, "greeting.created"),
]


@pytest.mark.parametrize(("change", "action"), CHANGES, ids=[name.__name__ for name, _ in CHANGES])
async def test_a_change_and_its_record_commit_or_roll_back_together(
    database: Database, inspector: asyncpg.Connection, change: Change, action: str
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box)
    before = ["vmbox.created", "message.new"]
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await change(connection, box, place.message_id)
        await transaction.rollback()
    assert await actions(inspector, box.account_id) == before
    async with database.transaction() as connection:
        await change(connection, box, place.message_id)
    assert await actions(inspector, box.account_id) == [*before, *action.split()]


async def test_a_change_that_has_no_effect_has_no_record(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box)
        for _ in range(2):
            await change_folder(connection, box, place.message_id)
            await change_folders(connection, box, place.message_id)
    assert (await actions(inspector, box.account_id)).count("message.folder_changed") == 1


async def test_a_record_outside_a_transaction_is_refused(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(AssertionError):
            await insert_change(connection, uuid4(), Action.USER_CREATED)
