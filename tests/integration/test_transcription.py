"""The transcription channel: what an engine hears in messages of boxes that transcribe."""

import pytest
from aiohttp import web

from service.domain.transcription import MAX_TEXT_BYTES, heard
from service.postgres.deliveries import Selection, retry_deliveries
from service.postgres.messages import attach_audio, remove_message
from service.workers.channels.transcription import Engine, EngineSettings
from tests.support.builders import RETAINED_SINCE, audit
from tests.support.dictation import Dictation
from tests.support.engine import KEY, RequestParameters
from tests.support.notifier import QUICK
from tests.support.relay import eventually


async def test_a_message_is_written_down_and_told(dictation: Dictation) -> None:
    box = await dictation.a_box()
    async with dictation.relay(), dictation.stage.running(dictation.channel):
        place = await dictation.leave(box, "Call me back.")
        [row] = await dictation.done()
    assert (row["status"], row["target"]) == ("done", "engine")
    wanted = {"result": "success", "text": "Call me back."}
    assert (await dictation.message(place)).transcription == wanted
    [event] = await dictation.told(box)
    assert event.data["message"]["transcription"] == wanted
    assert event.data["message"]["media_id"] == str(place.message_id)
    [asked] = dictation.stub.asked
    assert asked.fields == {"model": "whisper-9", "response_format": "json", "language": "en"}
    assert (asked.name, asked.content_type) == ("message.mp3", "audio/mpeg")
    async with dictation.database.connection() as connection:
        await audit(connection, box)


async def test_a_box_that_does_not_transcribe_is_never_sent_away(dictation: Dictation) -> None:
    box = await dictation.a_box(transcribe=False)
    async with dictation.relay(), dictation.stage.running(dictation.channel):
        place = await dictation.leave(box, "Between us.")
        [row] = await dictation.done()
    assert (row["status"], row["target"]) == ("ignored", "")
    assert dictation.stub.asked == []
    assert (await dictation.message(place)).transcription is None


async def test_other_audio_is_heard_anew_and_the_old_text_is_gone_at_once(
    dictation: Dictation,
) -> None:
    box = await dictation.a_box()
    async with dictation.relay():
        async with dictation.stage.running(dictation.channel):
            place = await dictation.leave(box, "First.")
            await dictation.done()
        audio = await dictation.sound("Second.")
        async with dictation.database.connection() as connection:
            await attach_audio(
                connection,
                place,
                audio,
                length_ms=1000,
                retained_since=RETAINED_SINCE,
                max_message_count=None,
            )
        assert (await dictation.message(place)).transcription is None
        async with dictation.stage.running(dictation.channel):
            await dictation.done(2)
    assert (await dictation.message(place)).transcription == {
        "result": "success",
        "text": "Second.",
    }
    texts = [event.data["message"]["transcription"]["text"] for event in await dictation.told(box)]
    assert texts == ["First.", "Second."]


async def test_what_is_heard_of_audio_that_was_replaced_meanwhile_is_not_kept(
    dictation: Dictation,
) -> None:
    box = await dictation.a_box()
    second = await dictation.sound("Second.")

    async def replace(asked: RequestParameters) -> web.StreamResponse:
        if asked.text == "First.":
            async with dictation.database.connection() as connection:
                await attach_audio(
                    connection,
                    place,
                    second,
                    length_ms=1000,
                    retained_since=RETAINED_SINCE,
                    max_message_count=None,
                )
        return await dictation.stub.hear(asked)

    dictation.stub.act = replace
    place = await dictation.leave(box, "First.")
    async with dictation.relay(), dictation.stage.running(dictation.channel):
        rows = await dictation.done(2)
    assert {row["status"] for row in rows} == {"done"}
    texts = [event.data["message"]["transcription"]["text"] for event in await dictation.told(box)]
    assert texts == ["Second."]


async def test_an_engine_that_is_away_is_asked_again(dictation: Dictation) -> None:
    box = await dictation.a_box()
    dictation.stub.act = dictation.stub.status(503, 401)
    async with dictation.relay(), dictation.stage.running(dictation.channel):
        place = await dictation.leave(box, "At last.")
        [row] = await dictation.done()
    assert (row["status"], row["attempt"], len(dictation.stub.asked)) == ("done", 3, 3)
    assert (await dictation.message(place)).transcription == heard("At last.")


async def test_audio_that_the_engine_refuses_is_a_failure_until_it_is_retried(
    dictation: Dictation,
) -> None:
    box = await dictation.a_box()
    dictation.stub.act = dictation.stub.status(400)
    async with dictation.relay(), dictation.stage.running(dictation.channel):
        place = await dictation.leave(box, "Noise.")
        [row] = await dictation.done()
    assert (row["status"], row["last_error"]) == ("dead", "the engine answers 400")
    assert (await dictation.message(place)).transcription == {"result": "failure"}
    [event] = await dictation.told(box)
    assert event.data["message"]["transcription"] == {"result": "failure"}
    async with dictation.database.connection() as connection:
        assert await retry_deliveries(connection, Selection(account_id=box.account_id)) == 1
    async with dictation.stage.running(dictation.channel):
        [row] = await dictation.done()
    assert row["status"] == "done"
    assert (await dictation.message(place)).transcription == heard("Noise.")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"secret words", "the engine's answer is no JSON with a text"),
        (b'{"text": 5}', "the engine's answer is no JSON with a text"),
        (b'{"text": "\xff"}', "the engine's answer is no JSON with a text"),
        (b'"' + bytes(4_200_000), "the engine's answer is too long"),
    ],
)
async def test_an_answer_that_is_none_is_no_text_and_is_not_quoted(
    dictation: Dictation, body: bytes, why: str
) -> None:
    box = await dictation.a_box()
    dictation.stub.act = dictation.stub.says(body)
    async with dictation.relay(), dictation.stage.running(dictation.channel):
        place = await dictation.leave(box, "Hello.")
        [row] = await dictation.done()
    assert (row["status"], row["last_error"]) == ("dead", why)
    assert (await dictation.message(place)).transcription is None


async def test_an_engine_that_nobody_reaches_and_one_that_does_not_know_us(
    dictation: Dictation,
) -> None:
    for url, key, why in (
        ("http://127.0.0.1:1/v1/audio/transcriptions", KEY, "the engine cannot be asked"),
        (dictation.stub.url, "another", "the engine answers 401"),
        ("http://", KEY, "the engine cannot be asked"),
    ):
        settings = EngineSettings(url=url, key=key, model="m", timeout_s=2)
        async with Engine.open(settings) as engine:
            outcome = await engine.transcribe(b"a", "message.mp3", "audio/mpeg")
        assert not isinstance(outcome, str)
        assert outcome.error.startswith(why)
        assert not outcome.permanent


async def test_a_message_that_goes_meanwhile_is_left_alone(dictation: Dictation) -> None:
    box = await dictation.a_box()
    place = await dictation.leave(box, "Never mind.")

    async def remove(asked: RequestParameters) -> web.StreamResponse:
        async with dictation.database.connection() as connection:
            await remove_message(connection, place, reason="api")
        return await dictation.stub.hear(asked)

    dictation.stub.act = remove
    async with dictation.relay(), dictation.stage.running(dictation.channel):
        [row] = await dictation.done()
    assert row["status"] == "done"
    assert await dictation.told(box) == []


async def test_a_replay_asks_nobody_again(dictation: Dictation) -> None:
    box = await dictation.a_box()
    async with dictation.relay(), dictation.stage.running(dictation.channel, QUICK):
        await dictation.leave(box, "Once.")
        await dictation.done()
        await dictation.stage.events.replay("notifier-transcription")
        await eventually(lambda: dictation.stage.naked(0, "notifier-transcription"))
    assert len(dictation.stub.asked) == len(await dictation.told(box)) == 1


def test_a_text_is_cut_between_letters_and_holds_no_nul() -> None:
    kept = heard(" \0" + "ä" * MAX_TEXT_BYTES)["text"]
    assert kept == "ä" * (MAX_TEXT_BYTES // 2)
