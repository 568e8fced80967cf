"""Transcription channel with a stub engine."""

import pytest
from aiohttp import web

from service.domain.transcription import MAX_TEXT_BYTES, successful_transcription
from service.postgres.deliveries import DeliveryFilter, retry_deliveries
from service.postgres.messages import attach_audio, remove_message
from service.workers.channels import Failed
from service.workers.channels.transcription import HttpEngine, HttpEngineSettings
from tests.support.builders import RETAINED_SINCE, audit
from tests.support.notifier import QUICK
from tests.support.transcription_harness import TranscriptionHarness
from tests.support.transcription_server import KEY, TranscriptionRequest
from tests.support.waiting import wait_until

ENGINE = {"engine": "http", "model": "whisper-9"}
FAILED = {"result": "failure", **ENGINE}


def a_text(text: str) -> dict[str, str]:
    """The stored form of a text from the server."""
    return {"result": "success", "text": text, "language": "en", **ENGINE}


async def test_a_message_is_transcribed_with_an_event(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box()
    async with (
        transcription_harness.relay(),
        transcription_harness.harness.running(transcription_harness.channel),
    ):
        place = await transcription_harness.leave(box, "Call me back.")
        [row] = await transcription_harness.done()
    assert (row["status"], row["target"]) == ("done", "engine")
    expected = a_text("Call me back.")
    assert (await transcription_harness.message(place)).transcription == expected
    [event] = await transcription_harness.transcribed_events(box)
    assert event.data["message"]["transcription"] == expected
    assert event.data["message"]["media_id"] == str(place.message_id)
    [request] = transcription_harness.stub.requests
    assert request.fields == {"model": "whisper-9", "response_format": "json", "language": "en"}
    assert (request.name, request.content_type) == ("message.mp3", "audio/mpeg")
    async with transcription_harness.database.connection() as connection:
        await audit(connection, box)


async def test_audio_of_a_box_without_transcription_is_not_sent(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box(transcribe=False)
    async with (
        transcription_harness.relay(),
        transcription_harness.harness.running(transcription_harness.channel),
    ):
        place = await transcription_harness.leave(box, "Between us.")
        [row] = await transcription_harness.done()
    assert (row["status"], row["target"]) == ("ignored", "")
    assert transcription_harness.stub.requests == []
    assert (await transcription_harness.message(place)).transcription is None


async def test_replaced_audio_is_transcribed_again_and_the_old_text_is_removed(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box()
    async with transcription_harness.relay():
        async with transcription_harness.harness.running(transcription_harness.channel):
            place = await transcription_harness.leave(box, "First.")
            await transcription_harness.done()
        audio = await transcription_harness.sound("Second.")
        async with transcription_harness.database.connection() as connection:
            await attach_audio(
                connection,
                place,
                audio,
                length_ms=1000,
                retained_since=RETAINED_SINCE,
                max_message_count=None,
            )
        assert (await transcription_harness.message(place)).transcription is None
        async with transcription_harness.harness.running(transcription_harness.channel):
            await transcription_harness.done(2)
    assert (await transcription_harness.message(place)).transcription == a_text("Second.")
    texts = [
        event.data["message"]["transcription"]["text"]
        for event in await transcription_harness.transcribed_events(box)
    ]
    assert texts == ["First.", "Second."]


async def test_a_transcript_of_replaced_audio_is_discarded(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box()
    second = await transcription_harness.sound("Second.")

    async def replace(request: TranscriptionRequest) -> web.StreamResponse:
        if request.text == "First.":
            async with transcription_harness.database.connection() as connection:
                await attach_audio(
                    connection,
                    place,
                    second,
                    length_ms=1000,
                    retained_since=RETAINED_SINCE,
                    max_message_count=None,
                )
        return await transcription_harness.stub.transcribe(request)

    transcription_harness.stub.act = replace
    place = await transcription_harness.leave(box, "First.")
    async with (
        transcription_harness.relay(),
        transcription_harness.harness.running(transcription_harness.channel),
    ):
        rows = await transcription_harness.done(2)
    assert {row["status"] for row in rows} == {"done"}
    texts = [
        event.data["message"]["transcription"]["text"]
        for event in await transcription_harness.transcribed_events(box)
    ]
    assert texts == ["Second."]


async def test_an_unavailable_server_is_retried(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box()
    transcription_harness.stub.act = transcription_harness.stub.status(503, 401)
    async with (
        transcription_harness.relay(),
        transcription_harness.harness.running(transcription_harness.channel),
    ):
        place = await transcription_harness.leave(box, "At last.")
        [row] = await transcription_harness.done()
    assert (row["status"], row["attempt"], len(transcription_harness.stub.requests)) == (
        "done",
        3,
        3,
    )
    assert (await transcription_harness.message(place)).transcription == a_text("At last.")


async def test_audio_that_the_server_refuses_is_a_failure_until_it_is_retried(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box()
    transcription_harness.stub.act = transcription_harness.stub.status(400)
    async with (
        transcription_harness.relay(),
        transcription_harness.harness.running(transcription_harness.channel),
    ):
        place = await transcription_harness.leave(box, "Noise.")
        [row] = await transcription_harness.done()
    assert (row["status"], row["last_error"]) == ("dead", "the engine returned 400")
    assert (await transcription_harness.message(place)).transcription == FAILED
    [event] = await transcription_harness.transcribed_events(box)
    assert event.data["message"]["transcription"] == FAILED
    async with transcription_harness.database.connection() as connection:
        assert await retry_deliveries(connection, DeliveryFilter(account_id=box.account_id)) == 1
    async with transcription_harness.harness.running(transcription_harness.channel):
        [row] = await transcription_harness.done()
    assert row["status"] == "done"
    assert (await transcription_harness.message(place)).transcription == a_text("Noise.")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"secret words", "the response of the engine is not JSON with a text"),
        (b'{"text": 5}', "the response of the engine is not JSON with a text"),
        (b'{"text": "\xff"}', "the response of the engine is not JSON with a text"),
        (b'"' + bytes(4_200_000), "the response of the engine is too long"),
    ],
)
async def test_an_invalid_response_is_not_stored_or_quoted(
    transcription_harness: TranscriptionHarness, body: bytes, why: str
) -> None:
    box = await transcription_harness.a_box()
    transcription_harness.stub.act = transcription_harness.stub.answer_with(body)
    async with (
        transcription_harness.relay(),
        transcription_harness.harness.running(transcription_harness.channel),
    ):
        place = await transcription_harness.leave(box, "Hello.")
        [row] = await transcription_harness.done()
    assert (row["status"], row["last_error"]) == ("dead", why)
    assert (await transcription_harness.message(place)).transcription is None


async def test_an_unreachable_server_and_a_wrong_key_are_temporary_failures(
    transcription_harness: TranscriptionHarness,
) -> None:
    for url, key, why in (
        ("http://127.0.0.1:1/v1/audio/transcriptions", KEY, "the request to the engine failed"),
        (transcription_harness.stub.url, "another", "the engine returned 401"),
        ("http://", KEY, "the request to the engine failed"),
    ):
        settings = HttpEngineSettings(url=url, key=key, model="m", timeout_s=2)
        async with HttpEngine.open(settings) as engine:
            outcome = await engine.transcribe(b"a", "audio/mpeg", "mp3", "")
        assert isinstance(outcome, Failed)
        assert outcome.error.startswith(why)
        assert not outcome.permanent


async def test_a_message_deleted_during_transcription_is_not_changed(
    transcription_harness: TranscriptionHarness,
) -> None:
    box = await transcription_harness.a_box()
    place = await transcription_harness.leave(box, "Never mind.")

    async def remove(request: TranscriptionRequest) -> web.StreamResponse:
        async with transcription_harness.database.connection() as connection:
            await remove_message(connection, place, reason="api")
        return await transcription_harness.stub.transcribe(request)

    transcription_harness.stub.act = remove
    async with (
        transcription_harness.relay(),
        transcription_harness.harness.running(transcription_harness.channel),
    ):
        [row] = await transcription_harness.done()
    assert row["status"] == "done"
    assert await transcription_harness.transcribed_events(box) == []


async def test_a_replay_sends_no_audio_again(transcription_harness: TranscriptionHarness) -> None:
    box = await transcription_harness.a_box()
    async with (
        transcription_harness.relay(),
        transcription_harness.harness.running(transcription_harness.channel, QUICK),
    ):
        await transcription_harness.leave(box, "Once.")
        await transcription_harness.done()
        await transcription_harness.harness.events.replay("notifier-transcription")
        await wait_until(
            lambda: transcription_harness.harness.has_unacked(0, "notifier-transcription")
        )
    assert (
        len(transcription_harness.stub.requests)
        == len(await transcription_harness.transcribed_events(box))
        == 1
    )


def test_a_text_is_cut_between_characters_and_contains_no_nul() -> None:
    kept = successful_transcription(" \0" + "ä" * MAX_TEXT_BYTES)["text"]
    assert kept == "ä" * (MAX_TEXT_BYTES // 2)
