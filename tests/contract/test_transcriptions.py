"""Transcriptions over HTTP and on the command line: read with words, request again."""

from typing import Any
from uuid import UUID

import asyncpg

from service.domain.message import MessageId
from tests.contract.test_accounts_cli import aftertone
from tests.contract.test_audit import recorded
from tests.contract.wire import refusal
from tests.support.running import AccountClient, data_of

_STORE = """
WITH message AS (
    UPDATE messages SET transcription = $4, transcription_requested_at = NULL
    WHERE account_id = $1 AND month = $2 AND id = $3
    RETURNING account_id, month, id
)
INSERT INTO transcription_words
SELECT account_id, month, id, '[[0,420,97,"Call"],[420,800,88,"me"]]' FROM message
"""


async def requests_of(account: AccountClient) -> list[str]:
    """Returns the messages of all events that request a transcription, the oldest first."""
    owner = await asyncpg.connect(account.service.servers.postgres.url())
    rows = await owner.fetch(
        "SELECT data #>> '{message,media_id}' AS media_id FROM outbox WHERE account_id = $1"
        " AND type = 'message.transcription_requested' ORDER BY seq",
        UUID(account.account_id),
    )
    await owner.close()
    return [row["media_id"] for row in rows]


async def transcribe(account: AccountClient, media_id: str, transcription: str) -> None:
    identity = MessageId.parse(media_id)
    assert identity is not None
    owner = await asyncpg.connect(account.service.servers.postgres.url())
    key: tuple[Any, ...] = (UUID(account.account_id), identity.month, identity.id)
    await owner.execute(_STORE, *key, transcription)
    await owner.close()


async def test_a_transcription_has_words_and_is_requested_once(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    message = account.path("vmboxes", vmbox_id, "messages", media_id)
    missing = await account.http.get(f"{message}/transcription")
    refusal(missing, 404, "bad_identifier")
    for _ in range(2):
        answer = await account.http.put(f"{message}/transcription")
        assert data_of(answer, 202) == {"media_id": media_id}
    assert await requests_of(account) == [media_id]
    [record] = await recorded(account, action="message.transcription_requested")
    assert record["media_id"] == media_id
    details = {"language": "en", "engine": "faster-whisper", "model": "small"}
    await transcribe(
        account,
        media_id,
        '{"result": "success", "text": "Call me", "language": "en", "engine": "faster-whisper",'
        ' "model": "small"}',
    )
    assert data_of(await account.http.get(f"{message}/transcription")) == {
        "result": "success",
        "text": "Call me",
        **details,
        "words": [
            {"word": "Call", "start": 0, "end": 420, "confidence": 97},
            {"word": "me", "start": 420, "end": 800, "confidence": 88},
        ],
    }
    shown = data_of(await account.http.get(message))
    assert shown["transcription"] == {"result": "success", "text": "Call me"}
    assert shown["transcription_details"] == details


async def test_a_message_without_audio_cannot_be_transcribed(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    stored = await account.http.put(
        account.path("vmboxes", vmbox_id, "messages"), json={"data": {"folder": "new"}}
    )
    message = account.path("vmboxes", vmbox_id, "messages", data_of(stored, 201)["media_id"])
    answer = await account.http.put(f"{message}/transcription")
    refusal(answer, 404, "bad_identifier")


async def test_the_command_requests_messages_without_text(account: AccountClient) -> None:
    vmbox_id, other = await account.a_vmbox(), await account.a_vmbox()
    first, second, third = sorted([await account.leave(vmbox_id) for _ in range(3)])
    await account.leave(other)
    await transcribe(account, first, '{"result": "success", "text": "Call me"}')

    async def run(*options: str) -> str:
        return await aftertone(
            account.service, "transcribe", account.account_id, "--vmbox", vmbox_id, *options
        )

    assert await run("--limit", "1") == "1 transcriptions requested\n"
    assert await requests_of(account) == [second]
    assert await run() == "1 transcriptions requested\n"
    assert await run() == "0 transcriptions requested\n"
    assert await run("--again", "--since", "2020-01-01") == "1 transcriptions requested\n"
    assert await requests_of(account) == [second, third, first]
