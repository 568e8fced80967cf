"""Conversion of new messages to the format of their box, in accounts with `normalize_audio`."""

from typing import Any

import pytest

from service.domain.message import Audio
from service.postgres.messages import MessageKey
from tests.support.audio_samples import a_wav, an_mp3
from tests.support.builders import Box, a_vmbox, an_account_row, audit, events_of
from tests.support.media_harness import MediaHarness


async def a_box(harness: MediaHarness, is_normalizing: bool = True, **settings: Any) -> Box:
    account = await an_account_row(harness.database)
    async with harness.database.connection() as connection:
        await connection.execute(
            "UPDATE accounts SET document = jsonb_build_object('normalize_audio', $2::boolean)"
            " WHERE account_id = $1",
            account.account_id,
            is_normalizing,
        )
        return await a_vmbox(connection, account.account_id, **settings)


async def audio_of(harness: MediaHarness, place: MessageKey) -> Audio:
    audio = (await harness.message(place)).audio
    assert audio is not None
    return audio


async def test_a_message_gets_the_format_of_its_box_and_is_measured_again(
    media_harness: MediaHarness,
) -> None:
    box = await a_box(media_harness, media_extension="mp3")
    async with media_harness.relay(), media_harness.running():
        place = await media_harness.leave(box, a_wav(2.0), 2000)
        original = await audio_of(media_harness, place)
        # Measured and converted after the message is stored, measured after the replacement.
        rows = await media_harness.done(3)

    assert [row["status"] for row in rows] == ["done", "done", "done"]
    audio = await audio_of(media_harness, place)
    assert (audio.content_type, audio.extension) == ("audio/mpeg", "mp3")
    assert await media_harness.store.get_size(audio.key) == audio.size
    # The keeper deletes it later.
    assert await media_harness.store.get_size(original.key) == original.size
    message = await media_harness.message(place)
    assert message.length_ms == 2000
    assert message.media is not None
    assert (message.media.codec, message.media.duration_ms) == ("mp3", 2000)
    async with media_harness.database.connection() as connection:
        await audit(connection, box)
        types = [event.type for event in await events_of(connection, box)]
        stored_bytes = await connection.fetchval(
            "SELECT stored_bytes FROM vmbox_counts WHERE account_id = $1 AND vmbox_id = $2",
            box.account_id,
            box.vmbox_id,
        )
    assert types.count("message.audio_replaced") == 1
    assert stored_bytes == audio.size


@pytest.mark.parametrize(
    ("content", "is_normalizing", "extension"),
    [(an_mp3(), True, "mp3"), (an_mp3(), False, "wav"), (bytes(5000), True, "wav")],
    ids=["has the format", "disabled", "unreadable"],
)
async def test_other_audio_stays_as_it_is(
    media_harness: MediaHarness, content: bytes, is_normalizing: bool, extension: str
) -> None:
    box = await a_box(media_harness, is_normalizing, media_extension=extension)
    kind = "audio/mpeg" if content == an_mp3() else "application/octet-stream"
    async with media_harness.relay(), media_harness.running():
        place = await media_harness.leave(box, content, 1, kind)
        original = await audio_of(media_harness, place)
        await media_harness.done(1 if content == an_mp3() else 2)

    assert await audio_of(media_harness, place) == original
