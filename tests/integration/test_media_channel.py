"""Media channel: facts about the audio of messages, and the outlines of their recordings."""

from datetime import timedelta

import pytest

from service.postgres.media import get_waveform
from service.postgres.messages import attach_audio, remove_message
from service.postgres.pool import Database
from service.workers.keeper import StepProgress
from service.workers.keeper.purge import Purge
from tests.support.audio_samples import a_mu_law_wav, a_wav, an_mp3
from tests.support.builders import RETAINED_SINCE, audit
from tests.support.keeper import in_days
from tests.support.media_harness import MediaHarness
from tests.support.notifier import QUICK
from tests.support.waiting import wait_until

COMPUTED_MS, MEASURED_MS = 1080, 1008
"""The length of the MP3 by its frames, and without the padding of its encoder."""


@pytest.mark.parametrize(
    ("stored_ms", "expected_ms"),
    [
        pytest.param(1, MEASURED_MS, id="unknown"),
        pytest.param(COMPUTED_MS, MEASURED_MS, id="computed"),
        pytest.param(2000, 2000, id="sent by a client"),
    ],
)
async def test_a_message_is_measured_and_a_length_of_a_client_stays(
    media_harness: MediaHarness, stored_ms: int, expected_ms: int
) -> None:
    box = await media_harness.a_box()
    async with media_harness.relay(), media_harness.running():
        place = await media_harness.leave(box, an_mp3(), stored_ms)
        [row] = await media_harness.done()
    assert (row["status"], row["target"]) == ("done", "audio")
    message = await media_harness.message(place)
    assert message.media is not None
    assert (message.media.duration_ms, message.media.codec) == (MEASURED_MS, "mp3")
    assert message.length_ms == expected_ms
    [event] = await media_harness.measured_events(box)
    assert event.data["message"]["length"] == expected_ms
    assert event.data["message"]["media"]["peak_dbfs"] == message.media.peak_dbfs
    async with media_harness.database.connection() as connection:
        await audit(connection, box)


async def test_replaced_audio_is_measured_again(media_harness: MediaHarness) -> None:
    box = await media_harness.a_box()
    second = await media_harness.put(a_mu_law_wav(3.0))
    async with media_harness.relay():
        async with media_harness.running():
            place = await media_harness.leave(box, an_mp3(), 1)
            await media_harness.done()
        async with media_harness.database.connection() as connection:
            message, _ = await attach_audio(
                connection,
                place,
                second,
                length_ms=3000,
                retained_since=RETAINED_SINCE,
                max_message_count=None,
            )
            assert await get_waveform(connection, place, second.key) is None
        assert (message.media, message.length_ms) == (None, 3000)
        async with media_harness.running():
            await media_harness.done(2)
    message = await media_harness.message(place)
    assert message.media is not None
    assert (message.media.codec, message.media.duration_ms) == ("pcm_mulaw", 3000)
    async with media_harness.database.connection() as connection:
        waveform = await get_waveform(connection, place, second.key)
    assert waveform is not None
    assert (waveform.duration_ms, await media_harness.outlines(box)) == (3000, 1)


async def test_audio_that_cannot_be_decoded_is_a_dead_row(media_harness: MediaHarness) -> None:
    box = await media_harness.a_box()
    async with media_harness.relay(), media_harness.running():
        place = await media_harness.leave(box, b"\0" * 5000, 1)
        [row] = await media_harness.done()
    assert row["status"] == "dead"
    assert row["last_error"] == "the audio cannot be decoded (malformed)"
    assert (await media_harness.message(place)).media is None


async def test_a_replay_measures_nothing_again(media_harness: MediaHarness) -> None:
    box = await media_harness.a_box()
    events = media_harness.harness.events
    async with media_harness.relay(), media_harness.harness.running(media_harness.channel, QUICK):
        await media_harness.leave(box, a_wav(), 1)
        await media_harness.done()
        await events.replay("notifier-media")
        await wait_until(lambda: media_harness.harness.has_unacked(0, "notifier-media"))
    assert len(await media_harness.measured_events(box)) == 1


async def test_a_purge_deletes_the_outline_of_a_message(
    media_harness: MediaHarness, owner: Database
) -> None:
    box = await media_harness.a_box()
    async with media_harness.relay(), media_harness.running():
        place = await media_harness.leave(box, a_wav(), 1)
        await media_harness.done()
    async with media_harness.database.connection() as connection:
        await remove_message(connection, place, reason="api")
    assert await media_harness.outlines(box) == 1
    purge = Purge(owner, media_harness.store, in_days(8), grace=timedelta(days=7))
    assert (await purge.run(StepProgress()))["messages_purged"] == 1
    assert await media_harness.outlines(box) == 0
