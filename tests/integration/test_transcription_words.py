"""Words of transcriptions: they exist as long as the transcription of their message."""

from uuid import uuid4

import msgspec

from service.domain.message import MessageId
from service.domain.transcription import (
    MAX_TEXT_BYTES,
    Word,
    storable_words,
    successful_transcription,
)
from service.postgres.batches import Transfer, transfer_messages
from service.postgres.erasures import delete_messages, redact_messages
from service.postgres.messages import MessageKey, attach_audio, get_message, remove_message
from service.postgres.pool import Connection, Database
from service.postgres.transcriptions import get_transcription_words, transcribe_message
from service.postgres.trash import purge_trash
from tests.support.builders import NOW, RETAINED_SINCE, Box, a_vmbox, some_audio, stored

WORDS = [Word(0, 420, 97, "Call"), Word(420, 800, 88, "me")]


async def transcribed(connection: Connection, box: Box) -> MessageKey:
    key = await stored(connection, box)
    await transcribe(connection, key, WORDS)
    assert await get_transcription_words(connection, key) == WORDS
    return key


async def transcribe(connection: Connection, key: MessageKey, words: list[Word]) -> None:
    audio = (await get_message(connection, key)).audio
    assert audio is not None
    text = successful_transcription(" ".join(word.text for word in words))
    assert await transcribe_message(connection, key, audio.key, text, words)


async def test_words_are_replaced_with_their_transcription(database: Database) -> None:
    async with database.connection() as connection:
        key = await transcribed(connection, await a_vmbox(connection))
        await transcribe(connection, key, WORDS[:1])
        assert await get_transcription_words(connection, key) == WORDS[:1]
        await transcribe(connection, key, [])
        assert await get_transcription_words(connection, key) == []


async def test_words_are_deleted_with_the_audio_or_the_message(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        replaced, redacted, deleted, purged = [await transcribed(connection, box) for _ in range(4)]
        await attach_audio(
            connection,
            replaced,
            some_audio(),
            length_ms=1,
            retained_since=RETAINED_SINCE,
            max_message_count=None,
        )
        await redact_messages(connection, box.account_id, box.vmbox_id, [redacted.message_id])
        await delete_messages(connection, box.account_id, [deleted.message_id])
        await remove_message(connection, purged, reason="api")
        assert await get_transcription_words(connection, purged) == WORDS
        await purge_trash(connection, box.account_id, box.vmbox_id, None, 10)
        for key in (replaced, redacted, deleted, purged):
            assert await get_transcription_words(connection, key) == []


async def test_a_copy_of_a_message_has_its_words(database: Database) -> None:
    async with database.connection() as connection:
        box = await a_vmbox(connection)
        target = await a_vmbox(connection, box.account_id)
        key = await transcribed(connection, box)
        transfer = Transfer(
            copied=await get_message(connection, key),
            new_id=MessageId.generate(NOW, NOW),
            new_key=f"audio/{uuid4().hex}.mp3",
        )
        outcomes = await transfer_messages(
            connection,
            box.account_id,
            box.vmbox_id,
            target.vmbox_id,
            [transfer],
            moved=False,
            now=NOW,
            retained_since=RETAINED_SINCE,
            realm="example.com",
        )
        assert outcomes == [None]
        for copy in (key, target.place(transfer.new_id)):
            assert await get_transcription_words(connection, copy) == WORDS


def test_words_are_cut_where_the_text_is_cut() -> None:
    words = [Word(0, 1, 50, "\0ä "), Word(1, 2, 50, " \0"), *[Word(2, 3, 50, "b" * 99)] * 200]
    kept = storable_words(words)
    assert kept[0].text == "ä"
    assert len(kept) == 1 + MAX_TEXT_BYTES // 100
    assert msgspec.json.decode(msgspec.json.encode(kept[:1])) == [[0, 1, 50, "ä"]]
