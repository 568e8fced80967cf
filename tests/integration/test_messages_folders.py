"""Folder changes and removals of a message: one statement each."""

from uuid import uuid4

import pytest

from service.domain.errors import MessageExpired, MessageNotFound, VmboxNotFound
from service.domain.message import Folder, Message, MessageId, month_of
from service.postgres import messages as rows
from service.postgres.messages import MessageKey, get_message
from service.postgres.months import ensure_month
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import delete_vmbox
from tests.support.builders import (
    EXPIRED,
    NOW,
    RETAINED_SINCE,
    Box,
    a_vmbox,
    audit,
    counts_of,
    last_event,
    stored,
)


async def filed(
    connection: Connection, place: MessageKey, folder: Folder, reason: str = "api"
) -> Message:
    return await rows.change_folder(
        connection, place, folder, retained_since=RETAINED_SINCE, reason=reason
    )


async def removed(connection: Connection, place: MessageKey, reason: str = "api") -> Message:
    return await rows.remove_message(connection, place, reason=reason)


async def test_a_folder_change_updates_the_counts_and_names_both_folders(
    database: Database,
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box)
        message = await filed(connection, place, Folder.SAVED, "notified")
        assert message == await get_message(connection, place)
        event = await last_event(connection, box)
        await audit(connection, box)
    assert message.folder is Folder.SAVED
    assert event.type == "message.folder_changed"
    assert event.counts == (0, 1)
    assert (event.data["from"], event.data["to"]) == ("new", "saved")
    assert event.data["reason"] == "notified"
    assert event.data["message"]["media_id"] == str(place.message_id)
    assert event.data["message"]["folder"] == "saved"


async def test_every_way_between_the_folders_is_counted(database: Database) -> None:
    folders = list(Folder)
    way = [after for before in folders for other in folders for after in (before, other)]
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box)
        for folder in way:
            await filed(connection, place, folder)
            counts = await counts_of(connection, box)
            assert counts.new_count == (folder is Folder.NEW)
            assert counts.saved_count == (folder is Folder.SAVED)
        await audit(connection, box)


async def test_choosing_the_same_folder_appends_no_event(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box, folder=Folder.SAVED)
        before = await counts_of(connection, box)
        message = await filed(connection, place, Folder.SAVED)
        assert message == await get_message(connection, place)
        assert await counts_of(connection, box) == before
        assert len(await audit(connection, box)) == 2


async def test_a_message_without_audio_is_filed_and_removed_without_an_event(
    database: Database,
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box, audio=None)
        assert (await filed(connection, place, Folder.SAVED)).folder is Folder.SAVED
        assert (await counts_of(connection, box)).pending_count == 1
        await removed(connection, place)
        assert (await counts_of(connection, box)).pending_count == 0
        assert [event.type for event in await audit(connection, box)] == ["vmbox.created"]


async def test_a_removed_message_is_not_found_by_any_route(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box, folder=Folder.SAVED)
        message = await removed(connection, place, "retention")
        event = await last_event(connection, box)
        with pytest.raises(MessageNotFound):
            await get_message(connection, place)
        with pytest.raises(MessageNotFound):
            await filed(connection, place, Folder.NEW)
        with pytest.raises(MessageNotFound):
            await removed(connection, place)
        assert len(await audit(connection, box)) == 3
    assert message.folder is Folder.SAVED
    assert (event.type, event.counts) == ("message.removed", (0, 0))
    assert event.data["reason"] == "retention"
    assert event.data["message"]["media_id"] == str(place.message_id)
    assert event.data["message"]["folder"] == "saved"


async def test_removing_from_the_folder_deleted_leaves_the_counts(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box)
        await removed(connection, await stored(connection, box, folder=Folder.DELETED))
        event = await last_event(connection, box)
        assert (event.type, event.counts) == ("message.removed", (1, 0))
        await audit(connection, box)


async def test_a_message_past_retention_can_only_be_removed(database: Database) -> None:
    async with database.connection() as connection:
        await ensure_month(connection, month_of(EXPIRED))
        box = await a_vmbox(connection)
        place = await stored(connection, box, received_at=EXPIRED)
        with pytest.raises(MessageExpired) as refusal:
            await filed(connection, place, Folder.SAVED)
        assert refusal.value.message_id == str(place.message_id)
        assert refusal.value.retained_since == RETAINED_SINCE
        assert (await get_message(connection, place)).folder is Folder.NEW
        await removed(connection, place)
        event, counts = await last_event(connection, box), await counts_of(connection, box)
    assert (event.type, event.counts, event.sequence) == ("message.removed", (0, 0), 3)
    assert (counts.new_count, counts.saved_count) == (0, 0)


async def test_a_counted_message_that_expired_meanwhile_is_uncounted_by_its_removal(
    database: Database,
) -> None:
    async with database.connection() as connection:
        await ensure_month(connection, month_of(EXPIRED))
        box = await a_vmbox(connection)
        place = await stored(connection, box, received_at=EXPIRED, retained=True)
        assert (await counts_of(connection, box)).new_count == 1
        await removed(connection, place)
        assert (await counts_of(connection, box)).new_count == 0


async def test_unknown_messages_are_not_found(database: Database) -> None:
    async with database.connection() as connection:
        box, other = await a_vmbox(connection), await a_vmbox(connection)
        place = await stored(connection, box)
        sibling = await a_vmbox(connection, box.account_id)
        for wrong in (
            box.place(MessageId.generate(NOW, NOW)),
            box.place(MessageId(198001, place.message_id.id)),
            other.place(place.message_id),
            sibling.place(place.message_id),
        ):
            with pytest.raises(MessageNotFound):
                await get_message(connection, wrong)
            with pytest.raises(MessageNotFound):
                await filed(connection, wrong, Folder.SAVED)
            with pytest.raises(MessageNotFound):
                await removed(connection, wrong)
        for item in (box, other, sibling):
            await audit(connection, item)
        assert (await get_message(connection, place)).folder is Folder.NEW


async def test_an_unknown_box_and_a_deleted_one_are_not_found(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
        for wrong in (place, Box(box.account_id, uuid4()).place(place.message_id)):
            with pytest.raises(VmboxNotFound):
                await get_message(connection, wrong)
            with pytest.raises(VmboxNotFound):
                await filed(connection, wrong, Folder.SAVED)
            with pytest.raises(VmboxNotFound):
                await removed(connection, wrong)
        assert len(await audit(connection, box)) == 3
