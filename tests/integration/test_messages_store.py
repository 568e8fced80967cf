"""Storage of a message: one statement that inserts, counts and appends the event."""

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from service.domain.errors import MessageExists, TooManyPending, VmboxFull, VmboxNotFound
from service.domain.message import CallerId, Folder, MessageId, month_after, month_of
from service.postgres.messages import get_message, insert_message
from service.postgres.months import ensure_month
from service.postgres.pool import Database, MissingPartition
from service.postgres.vmboxes import delete_vmbox
from service.usecases.message_lists import ListQuery, MessageLists
from service.usecases.retention import RetentionLookup
from tests.support.builders import (
    EXPIRED,
    NOW,
    Box,
    CountsRow,
    a_draft,
    a_vmbox,
    an_account,
    audit,
    counts_of,
    events_of,
    last_event,
    stored,
)

GREGORIAN = 62_167_219_200


async def number_of_rows(inspector: asyncpg.Connection) -> int:
    count: int = await inspector.fetchval("SELECT count(*) FROM messages")
    return count


async def test_a_stored_message_is_read_back_as_it_was_given(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        draft = a_draft(to_uri="200@elsewhere.example", folder=Folder.SAVED)
        message = await insert_message(
            connection, box.account_id, box.vmbox_id, draft, max_message_count=None
        )
        assert await get_message(connection, box.place(draft.id)) == message
    assert (message.id, message.vmbox_id) == (draft.id, box.vmbox_id)
    assert (message.folder, message.audio) == (Folder.SAVED, draft.audio)
    assert (message.received_at, message.length_ms) == (NOW, 4_200)
    assert message.caller_id == CallerId("1001", "Ann")
    assert message.to_uri == "200@elsewhere.example"


async def test_a_message_without_a_callee_is_addressed_to_the_number_of_its_box(
    database: Database,
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection, mailbox="0321")
        message = await get_message(connection, await stored(connection, box))
    assert message.to_uri == "0321@example.com"


async def test_storing_counts_the_message_and_appends_an_event(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection, mailbox="321")
        place = await stored(connection, box)
        event = await last_event(connection, box)
        assert await counts_of(connection, box) == CountsRow(
            new_count=1, saved_count=0, pending_count=0, stored_bytes=5, sequence=2, deleted=False
        )
    assert (event.type, event.sequence) == ("message.new", 2)
    assert event.data == {
        "account_id": box.account_id.hex,
        "vmbox_id": box.vmbox_id.hex,
        "mailbox": "321",
        "epoch": 1,
        "sequence": 2,
        "counts": {"new": 1, "saved": 0},
        "message": {
            "media_id": str(place.message_id),
            "timestamp": int(NOW.timestamp()) + GREGORIAN,
            "folder": "new",
            "length": 4_200,
            "caller_id_number": "1001",
            "caller_id_name": "Ann",
            "call_id": "call-1",
            "from": "1001@example.com",
            "to": "321@example.com",
        },
        "origin": {"reason": "stored"},
    }


@pytest.mark.parametrize(
    ("folder", "counts"),
    [(Folder.NEW, (1, 0)), (Folder.SAVED, (0, 1)), (Folder.DELETED, (0, 0))],
)
async def test_a_message_is_counted_in_the_folder_it_is_stored_in(
    database: Database, folder: Folder, counts: tuple[int, int]
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box, folder=folder)
        event = await last_event(connection, box)
        assert event.data["message"]["folder"] == folder
        assert event.counts == counts
        await audit(connection, box)


async def test_a_message_without_audio_has_no_event(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box, audio=None)
        assert (await get_message(connection, place)).audio is None
        assert [event.type for event in await audit(connection, box)] == ["vmbox.created"]
        assert (await counts_of(connection, box)).pending_count == 1


async def test_a_message_past_retention_has_an_event_but_is_not_counted(database: Database) -> None:
    async with database.connection() as connection:
        await ensure_month(connection, month_of(EXPIRED))
        box = await a_vmbox(connection)
        await stored(connection, box, received_at=EXPIRED)
        event = await last_event(connection, box)
        counts = await counts_of(connection, box)
    assert (event.type, event.counts) == ("message.new", (0, 0))
    assert (counts.new_count, counts.sequence) == (0, 2)


async def test_a_box_that_never_was_refuses(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        with pytest.raises(VmboxNotFound):
            await stored(connection, Box(uuid4(), uuid4()))
    assert await number_of_rows(inspector) == 0


async def test_a_box_of_another_account_refuses(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        with pytest.raises(VmboxNotFound):
            await stored(connection, Box(uuid4(), box.vmbox_id))
        assert len(await events_of(connection, box)) == 1
    assert await number_of_rows(inspector) == 0


async def test_a_deleted_box_refuses_and_stays_silent(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
        for changes in ({}, {"audio": None}):
            with pytest.raises(VmboxNotFound):
                await stored(connection, box, **changes)
        assert (await audit(connection, box))[-1].type == "vmbox.deleted"
    assert await number_of_rows(inspector) == 0


async def test_a_full_box_refuses_messages_with_one_event_in_ten_minutes(
    database: Database, inspector: asyncpg.Connection
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection, max_message_count=2)
        await stored(connection, box)
        await stored(connection, box, folder=Folder.SAVED)
        for _ in range(3):
            with pytest.raises(VmboxFull) as refusal:
                await stored(connection, box)
        assert (refusal.value.max_message_count, refusal.value.message_count) == (2, 2)
        events = (await audit(connection, box))[3:]
        assert [event.type for event in events] == ["vmbox.full"]
        assert (events[0].data["max_message_count"], events[0].data["message_count"]) == (2, 2)

        for minutes, expected in ((9, 1), (11, 2)):
            await inspector.execute(
                "UPDATE vmbox_counts SET full_event_at = now() - $1::interval",
                timedelta(minutes=minutes),
            )
            with pytest.raises(VmboxFull):
                await stored(connection, box)
            types = [event.type for event in await audit(connection, box)]
            assert types.count("vmbox.full") == expected
    assert await number_of_rows(inspector) == 2


async def test_deleted_and_pending_messages_do_not_count_towards_the_limit(
    database: Database,
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection, max_message_count=1)
        await stored(connection, box, folder=Folder.DELETED)
        await stored(connection, box, audio=None)
        await stored(connection, box)
        with pytest.raises(VmboxFull):
            await stored(connection, box)
        await audit(connection, box)


@pytest.mark.parametrize(
    ("of_box", "of_account", "room"),
    [(None, 1, 1), (2, 1, 2), (1, 2, 1), (0, 1, None), (None, 0, None), (None, None, None)],
)
async def test_the_limit_of_the_box_overrides_that_of_the_account_and_0_means_no_limit(
    database: Database, of_box: int | None, of_account: int | None, room: int | None
) -> None:
    settings = {} if of_box is None else {"max_message_count": of_box}
    async with database.connection() as connection:
        box = await a_vmbox(connection, None, **settings)
        for _ in range(3 if room is None else room):
            await stored(connection, box, max_message_count=of_account)
        if room is not None:
            with pytest.raises(VmboxFull) as refusal:
                await stored(connection, box, max_message_count=of_account)
            assert refusal.value.max_message_count == room


async def test_at_most_a_hundred_messages_of_a_box_wait_for_audio(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        for _ in range(100):
            await stored(connection, box, audio=None)
        with pytest.raises(TooManyPending):
            await stored(connection, box, audio=None)
        await stored(connection, box)
        assert (await counts_of(connection, box)).pending_count == 100
        assert len(await audit(connection, box)) == 2


async def test_a_month_without_a_partition_is_created_on_demand(database: Database) -> None:
    long_ago = NOW.replace(year=2012, month=2, day=29)
    async with database.connection() as connection:
        box = await a_vmbox(connection)
    with pytest.raises(MissingPartition):
        async with database.connection() as connection:
            await stored(connection, box, received_at=long_ago)
    async with database.connection() as connection:
        assert await counts_of(connection, box) == CountsRow(
            new_count=0, saved_count=0, pending_count=0, stored_bytes=0, sequence=1, deleted=False
        )
        assert await ensure_month(connection, 201202)
        place = await stored(connection, box, received_at=long_ago)
        assert place.message_id.month == 201202
        assert (await get_message(connection, place)).received_at == long_ago


async def test_the_same_message_is_never_stored_twice(database: Database) -> None:
    draft = a_draft()
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box, id=draft.id)
        with pytest.raises(MessageExists):
            await stored(connection, box, id=draft.id)
        await audit(connection, box)


async def test_a_message_dated_ahead_is_counted_and_listed_at_once(database: Database) -> None:
    tomorrow = NOW + timedelta(hours=24)
    lists = MessageLists(database, database, lambda: NOW, RetentionLookup(database))
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box, received_at=tomorrow)
        assert (await counts_of(connection, box)).new_count == 1
        await audit(connection, box)
    account = an_account(account_id=box.account_id)
    for query in (ListQuery(), ListQuery(since=NOW), ListQuery(folder=Folder.NEW)):
        page = await lists.list_messages(account, box.vmbox_id, query)
        assert [message.received_at for message in page.items] == [tomorrow]
    assert len((await lists.list_account_messages(account, ListQuery())).items) == 1


def test_the_month_of_an_id_is_that_of_the_timestamp() -> None:
    older = NOW.replace(day=1) - timedelta(days=1)
    draft = a_draft(received_at=older)
    assert draft.id.month == month_after(month_of(NOW), -1)
    assert MessageId.parse(str(draft.id)) == draft.id
