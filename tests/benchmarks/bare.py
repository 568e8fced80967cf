"""The ceiling of store, list, folder and raw: what each cannot do without, and nothing else.

Run as `python -m tests.benchmarks.bare PORT` with the service's settings in the environment. The
service's HTTP server, multipart parser and statements, msgspec, and requests over aiohttp signed by
botocore; no framework, no authentication, no limits, no checks, and no answer to any failure.
"""

import hashlib
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
import uvloop
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from litestar.types import HTTPScope, Receive, Send
from python_multipart.multipart import MultipartParser, parse_options_header

from service.audio.keys import message_key
from service.domain.message import (
    LAST_ID,
    Audio,
    Folder,
    MessageCursor,
    MessageId,
    MessageSummary,
    month_of,
    retained_since,
    uuid7,
)
from service.postgres import messages as rows
from service.postgres.message_lists import Window, list_messages
from service.postgres.messages import MessageKey
from service.postgres.pool import Database
from service.postgres.recordings import get_recording
from tests.benchmarks.server import serve
from tests.benchmarks.statements import a_draft

_JSON = "application/json"
_PAGE = 50
_RETENTION_DAYS = 93


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A message as the service sends it."""

    timestamp: int
    from_: str = msgspec.field(name="from")
    to: str
    caller_id_number: str
    caller_id_name: str
    call_id: str
    folder: Folder
    length: int
    media_id: str


class _Page(msgspec.Struct, frozen=True):
    data: list[_Row]


class _Change(msgspec.Struct, frozen=True):
    folder: Folder


class _Changes(msgspec.Struct, frozen=True):
    data: _Change


_changes = msgspec.json.Decoder(_Changes)


class Bare:
    """Answers the service's requests for the account and the box in the path."""

    def __init__(self, database: Database, session: aiohttp.ClientSession) -> None:
        self._database = database
        self._session = session
        self._bucket = f"{os.environ['AFTERTONE_S3_ENDPOINT']}/{os.environ['AFTERTONE_S3_BUCKET']}/"
        credentials = Credentials(
            os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        )
        self._signer = S3SigV4Auth(credentials, "s3", os.environ["AFTERTONE_S3_REGION"])
        self._draft = a_draft(with_audio=True)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        _, _, _, account, _, vmbox, _, *rest = scope["path"].split("/")
        box = UUID(account), UUID(vmbox)
        status, kind = 200, _JSON
        match scope["method"], rest:
            case "PUT", []:
                status, body = 201, await self._store(*box, await _last_part(scope, receive))
            case "POST", [message]:
                body = await self._file(_key(*box, message), await _body(receive))
            case _, [message, "raw"]:
                kind, body = "audio/mpeg", await self._read(_key(*box, message))
            case _:
                body = await self._list(*box)
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _store(self, account: UUID, vmbox: UUID, body: bytes) -> bytes:
        now = datetime.now(UTC)
        new = uuid7(now)
        month = self._draft.id.month
        key = message_key(month, account, new, uuid7(now), "mp3")
        await self._exchange("PUT", key, {"Content-Type": "audio/mpeg"}, body)
        audio = Audio(
            key=key,
            content_type="audio/mpeg",
            size=len(body),
            sha256=hashlib.sha256(body).digest(),
        )
        draft = msgspec.structs.replace(self._draft, id=MessageId(month, new), audio=audio)
        async with self._database.connection() as connection:
            message = await rows.insert_message(
                connection, account, vmbox, draft, max_message_count=None
            )
        return msgspec.json.encode(_row(message))

    async def _list(self, account: UUID, vmbox: UUID) -> bytes:
        now = datetime.now(UTC)
        since, until = retained_since(now, _RETENTION_DAYS), now + timedelta(days=1)
        window = Window(
            since=since,
            until=until,
            months=(month_of(since), month_of(until)),
            folder=None,
            start=MessageCursor(month_of(until), until, LAST_ID),
            limit=_PAGE + 1,
        )
        async with self._database.connection() as connection:
            messages = await list_messages(connection, account, vmbox, window)
        return msgspec.json.encode(_Page([_row(message) for message in messages[:_PAGE]]))

    async def _file(self, key: MessageKey, body: bytes) -> bytes:
        async with self._database.connection() as connection:
            message = await rows.change_folder(
                connection,
                key,
                _changes.decode(body).data.folder,
                retained_since=retained_since(datetime.now(UTC), _RETENTION_DAYS),
                reason="api",
            )
        return msgspec.json.encode(_row(message))

    async def _read(self, key: MessageKey) -> bytes:
        async with self._database.connection() as connection:
            recording = await get_recording(connection, key, None)
        return await self._exchange("GET", recording.audio.key, {}, b"")

    async def _exchange(self, method: str, key: str, headers: dict[str, str], body: bytes) -> bytes:
        url = self._bucket + key
        request = AWSRequest(method, url, headers, body)
        self._signer.add_auth(request)
        async with self._session.request(
            method, url, data=body or None, headers=dict(request.headers)
        ) as response:
            response.raise_for_status()
            return await response.read()


def _key(account: UUID, vmbox: UUID, text: str) -> MessageKey:
    message_id = MessageId.parse(text)
    assert message_id is not None
    return MessageKey(account, vmbox, message_id)


def _row(message: MessageSummary) -> _Row:
    return _Row(
        timestamp=int(message.received_at.timestamp()) + 62_167_219_200,
        from_=message.from_uri,
        to=message.to_uri,
        caller_id_number=message.caller_id.number,
        caller_id_name=message.caller_id.name,
        call_id=message.call_id,
        folder=message.folder,
        length=message.length_ms,
        media_id=str(message.id),
    )


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        event: Any = await receive()
        body += event["body"]
        more = event["more_body"]
    return body


async def _last_part(scope: HTTPScope, receive: Receive) -> bytes:
    parts: list[list[bytes]] = []
    _, options = parse_options_header(dict(scope["headers"])[b"content-type"])
    callbacks: Any = {
        "on_part_begin": lambda: parts.append([]),
        "on_part_data": lambda data, start, end: parts[-1].append(data[start:end]),
    }
    parser = MultipartParser(options[b"boundary"], callbacks)
    more = True
    while more:
        event: Any = await receive()
        parser.write(event["body"])
        more = event["more_body"]
    return b"".join(parts[-1])


async def run(port: int) -> None:
    """Serves over as many connections as the API has."""
    database = Database.open(
        os.environ["AFTERTONE_DATABASE_URL"],
        size=16,
        timeout_s=10.0,
        name="bare",
        generic_plans=True,
    )
    connector = aiohttp.TCPConnector(limit=64)
    async with database as opened, aiohttp.ClientSession(connector=connector) as session:
        await serve(Bare(opened, session), port)


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1])))
