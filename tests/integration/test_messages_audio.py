"""Audio of a pending message, and replacement of the audio of a message."""

from datetime import timedelta

import pytest

from service.domain.errors import MessageExpired, MessageNotFound, VmboxFull, VmboxNotFound
from service.domain.message import Audio, Folder, Message, month_of
from service.postgres import messages as rows
from service.postgres.messages import MessageKey, get_message
from service.postgres.months import ensure_month
from service.postgres.pool import Connection, Database
from service.postgres.vmboxes import delete_vmbox
from tests.support.builders import (
    EXPIRED,
    RETAINED_SINCE,
    a_vmbox,
    audit,
    counts_of,
    last_event,
    some_audio,
    stored,
)


async def attached(
    connection: Connection,
    place: MessageKey,
    audio: Audio | None = None,
    *,
    max_message_count: int | None = None,
) -> tuple[Message, str | None]:
    return await rows.attach_audio(
        connection,
        place,
        audio or some_audio(),
        length_ms=2_000,
        retained_since=RETAINED_SINCE,
        max_message_count=max_message_count,
    )


async def test_a_message_is_counted_and_published_once_it_has_audio(database: Database) -> None:
    audio = some_audio()
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box, audio=None, length_ms=1)
        message, replaced = await attached(connection, place, audio)
        assert message == await get_message(connection, place)
        event, counts = await last_event(connection, box), await counts_of(connection, box)
        await audit(connection, box)
    assert (message.audio, message.length_ms, replaced) == (audio, 2_000, None)
    assert (counts.new_count, counts.pending_count, counts.sequence) == (1, 0, 2)
    assert (event.type, event.counts) == ("message.new", (1, 0))
    assert event.data["message"]["media_id"] == str(place.message_id)
    assert event.data["message"]["length"] == 2_000
    assert event.data["origin"] == {"reason": "stored"}


async def test_a_length_that_was_given_outlives_the_audio(database: Database) -> None:
    async with database.connection() as connection:
        place = await stored(connection, await a_vmbox(connection), audio=None, length_ms=7_000)
        message, _ = await attached(connection, place)
    assert message.length_ms == 7_000


async def test_a_message_is_counted_in_the_folder_it_waited_in(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        await attached(connection, await stored(connection, box, audio=None, folder=Folder.SAVED))
        event = await last_event(connection, box)
        assert (event.type, event.counts) == ("message.new", (0, 1))
        await audit(connection, box)


async def test_new_audio_replaces_the_first_and_does_not_change_the_counts(
    database: Database,
) -> None:
    first, second = some_audio(), some_audio(content_type="audio/wav", size=9)
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box, audio=first)
        message, replaced = await attached(connection, place, second)
        event = await last_event(connection, box)
        await audit(connection, box)
    assert (message.audio, replaced) == (second, first.key)
    assert message.length_ms == 4_200
    assert (event.type, event.counts, event.sequence) == ("message.audio_replaced", (1, 0), 3)
    assert event.data["message"]["media_id"] == str(place.message_id)
    assert "origin" not in event.data


async def test_a_box_that_is_full_now_refuses_the_audio_of_a_pending_message(
    database: Database,
) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection, max_message_count=1)
        waiting = await stored(connection, box, audio=None)
        place = await stored(connection, box)
        for _ in range(2):
            with pytest.raises(VmboxFull):
                await attached(connection, waiting)
        assert (await get_message(connection, waiting)).audio is None
        assert [event.type for event in await audit(connection, box)][2:] == ["vmbox.full"]
        # What is complete takes no further room.
        await attached(connection, place)
        await rows.remove_message(connection, place, reason="api")
        await attached(connection, waiting)
        await audit(connection, box)


async def test_the_limit_of_the_account_holds_for_audio_that_follows(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        waiting = await stored(connection, box, audio=None)
        await stored(connection, box)
        with pytest.raises(VmboxFull):
            await attached(connection, waiting, max_message_count=1)
        await attached(connection, waiting, max_message_count=0)


async def test_audio_for_a_message_dated_past_retention_completes_it_uncounted(
    database: Database,
) -> None:
    async with database.connection() as connection:
        await ensure_month(connection, month_of(EXPIRED))
        box = await a_vmbox(connection)
        await attached(connection, await stored(connection, box, audio=None, received_at=EXPIRED))
        event, counts = await last_event(connection, box), await counts_of(connection, box)
    assert (event.type, event.counts) == ("message.new", (0, 0))
    assert (counts.new_count, counts.pending_count) == (0, 0)


async def test_the_audio_of_an_expired_message_is_not_replaced(database: Database) -> None:
    expired = EXPIRED - timedelta(days=1)
    async with database.connection() as connection:
        await ensure_month(connection, month_of(expired))
        box = await a_vmbox(connection)
        place = await stored(connection, box, received_at=expired)
        before = await get_message(connection, place)
        with pytest.raises(MessageExpired):
            await attached(connection, place)
        assert await get_message(connection, place) == before
        assert (await counts_of(connection, box)).sequence == 2


async def test_audio_for_a_removed_message_is_refused(database: Database) -> None:
    async with database.connection() as connection:
        box, other = await a_vmbox(connection), await a_vmbox(connection)
        place = await stored(connection, box, audio=None)
        with pytest.raises(MessageNotFound):
            await attached(connection, other.place(place.message_id))
        await rows.remove_message(connection, place, reason="api")
        with pytest.raises(MessageNotFound):
            await attached(connection, place)
        await audit(connection, box)
        waiting = await stored(connection, box, audio=None)
        await delete_vmbox(connection, box.account_id, box.vmbox_id)
        with pytest.raises(VmboxNotFound):
            await attached(connection, waiting)
        assert [event.type for event in await audit(connection, box)][1:] == ["vmbox.deleted"]
