"""Signed requests to one bucket, over one pool of connections: the hot path to S3."""

import asyncio
import random
import re
from collections.abc import AsyncIterable, Callable, Mapping
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
import msgspec
from aiobotocore.credentials import AioCredentials
from botocore.exceptions import BotoCoreError
from yarl import URL

from service.audio.signer import Signer
from service.domain.errors import StorageUnavailable

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

_TRANSIENT = frozenset({429, 500, 502, 503, 504})
# Two retries: what is worth a third is an outage, and the caller answers that with a 503.
_PAUSES_S = (0.05, 0.25)
_ERROR_BYTES = 4096
_LARGE_BYTES = 1024 * 1024
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


class S3Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request to an object. `body` is called once for each attempt.

    `sha256` is the body's, in hex, `sent_bytes` its length. `answer_bytes` is how long a good
    answer's body must be.
    """

    method: str
    key: str
    headers: Mapping[str, str] = {}
    body: Callable[[], bytes | AsyncIterable[bytes] | None] = lambda: None
    sha256: str = EMPTY_SHA256
    sent_bytes: int = 0
    answer_bytes: int = 0


class S3Response(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is S3's own word for what went wrong, empty when nothing did."""

    status: int
    code: str = ""
    body: bytes = b""

    def failure(self, method: str) -> StorageUnavailable:
        return StorageUnavailable(f"{method} answered {self.status} {self.code}".rstrip())


class SignedS3Client:
    """Sends exchanges to a bucket, each wholly within `timeout_s`, retries included.

    Only requests that may be repeated belong here: each is tried up to three times. The
    credentials and their refresh are botocore's; the connections are aiohttp's, because
    botocore's own request pipeline costs several times the CPU of the request itself and waits for
    `100 Continue` before it sends a body.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: AioCredentials,
        *,
        base_url: str,
        region: str,
        timeout_s: float,
        at_once: int,
        large_at_once: int,
    ) -> None:
        self._session = session
        # The session's own queue for connections lets who comes last go first.
        self._connection_slots = asyncio.Semaphore(at_once)
        self._large_upload_slots = asyncio.Semaphore(large_at_once)
        self._credentials = credentials
        self._base_url = base_url
        self._signer = Signer(region)
        self._timeout_s = timeout_s

    async def send(self, exchange: S3Request) -> S3Response:
        """The answer, whatever its status. Raises StorageUnavailable when there is none.

        What sends a large body waits for its turn first, and that wait is not counted: all at once
        they would share the line until none is done in time, and leave no connection to readers.
        """
        if exchange.sent_bytes <= _LARGE_BYTES:
            return await self._in_time(exchange)
        async with self._large_upload_slots:
            return await self._in_time(exchange)

    async def _in_time(self, exchange: S3Request) -> S3Response:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._try_and_retry(exchange)
        except TimeoutError as problem:
            raise StorageUnavailable(f"{exchange.method} timed out") from problem
        except BotoCoreError as problem:
            raise StorageUnavailable(f"credentials: {type(problem).__name__}") from problem

    async def _try_and_retry(self, exchange: S3Request) -> S3Response:
        for pause_s in _PAUSES_S:
            try:
                answer = await self._once(exchange)
            except StorageUnavailable:
                pass
            else:
                if answer.status not in _TRANSIENT:
                    return answer
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        return await self._once(exchange)

    async def _once(self, exchange: S3Request) -> S3Response:
        url = self._base_url + quote(exchange.key, safe="/~")
        credentials = await self._credentials.get_frozen_credentials()
        headers = self._signer.signed(
            credentials, exchange.method, url, exchange.headers, exchange.sha256
        )
        try:
            async with (
                self._connection_slots,
                self._session.request(
                    exchange.method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=exchange.body(),
                    allow_redirects=False,
                ) as response,
            ):
                return await _answer(response, exchange)
        except (aiohttp.ClientError, OSError) as problem:
            reason = f"{exchange.method} failed: {type(problem).__name__}"
            raise StorageUnavailable(reason) from problem


async def _answer(response: aiohttp.ClientResponse, exchange: S3Request) -> S3Response:
    if response.status >= HTTPStatus.MULTIPLE_CHOICES:
        found = _ERROR_CODE.search(await response.content.read(_ERROR_BYTES))
        code = found[1].decode() if found else ""
        return S3Response(status=response.status, code=code)
    if exchange.answer_bytes == 0:
        return S3Response(status=response.status)
    if response.content_length != exchange.answer_bytes:
        raise StorageUnavailable(f"{exchange.method} answered another length than was asked for")
    return S3Response(status=response.status, body=await response.read())
