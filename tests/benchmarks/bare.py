"""The ceiling of the store path: what it cannot do without, and nothing else.

Run as `python -m tests.benchmarks.bare PORT` with the service's settings in the environment. The
service's HTTP server and multipart parser, one PUT over aiohttp signed by botocore, the service's
statement; no framework, no authentication, no limits, no checks, and no answer to any failure.
"""

import hashlib
import os
import sys
from datetime import UTC, datetime
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

from service.audio.store import message_key
from service.domain.message import Audio, MessageId, uuid7
from service.postgres import messages as rows
from service.postgres.pool import Database
from tests.benchmarks.server import serve
from tests.benchmarks.statements import a_draft

_ANSWER = b"{}"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


class Bare:
    """Stores the last part of each body as a message of the account and the box in the path."""

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
        _, _, _, account, _, vmbox, _ = scope["path"].split("/")
        await self._store(UUID(account), UUID(vmbox), await _last_part(scope, receive))
        await send({"type": "http.response.start", "status": 201, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _ANSWER, "more_body": False})

    async def _store(self, account: UUID, vmbox: UUID, body: bytes) -> None:
        now = datetime.now(UTC)
        new = uuid7(now)
        month = self._draft.id.month
        key = message_key(month, account, new, uuid7(now), "mp3")
        await self._put(key, body)
        audio = Audio(
            key=key,
            content_type="audio/mpeg",
            size=len(body),
            sha256=hashlib.sha256(body).digest(),
        )
        draft = msgspec.structs.replace(self._draft, id=MessageId(month, new), audio=audio)
        async with self._database.connection() as connection:
            await rows.insert_message(connection, account, vmbox, draft, max_message_count=None)

    async def _put(self, key: str, body: bytes) -> None:
        url = self._bucket + key
        request = AWSRequest("PUT", url, {"Content-Type": "audio/mpeg"}, body)
        self._signer.add_auth(request)
        async with self._session.put(url, data=body, headers=dict(request.headers)) as response:
            response.raise_for_status()


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
