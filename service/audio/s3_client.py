"""Signed requests to one bucket: PUT, GET and DELETE of objects."""

import asyncio
import random
import re
from collections.abc import AsyncIterable, Callable, Mapping
from datetime import datetime
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
# Two retries. Further failures are an outage, for which the client gets a 503.
_RETRY_DELAYS_S = (0.05, 0.25)
_MAX_ERROR_BYTES = 4096
_LARGE_UPLOAD_BYTES = 1024 * 1024
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


class S3Request(msgspec.Struct, frozen=True, kw_only=True):
    """Request for one object. `body` is called once per attempt.

    `sha256` (hex) and `body_bytes` describe the body. `response_bytes` is the expected length of
    the body of a successful response; with `allow_shorter` the body may have fewer bytes.
    """

    method: str
    key: str
    headers: Mapping[str, str] = {}
    body: Callable[[], bytes | AsyncIterable[bytes] | None] = lambda: None
    sha256: str = EMPTY_SHA256
    body_bytes: int = 0
    response_bytes: int = 0
    allow_shorter: bool = False


class S3Response(msgspec.Struct, frozen=True, kw_only=True):
    """Response to a request. `code` is the S3 error code, empty on success."""

    status: int
    code: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = {}

    def failure(self, method: str) -> StorageUnavailable:
        return StorageUnavailable(f"{method} returned {self.status} {self.code}".rstrip())


class SignedS3Client:
    """Sends idempotent requests to a bucket, each up to three times within `timeout_s`.

    botocore provides and refreshes the credentials. The requests use aiohttp, because botocore's
    request pipeline costs several times the CPU of the request and waits for `100 Continue` before
    it sends a body.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: AioCredentials,
        *,
        base_url: str,
        public_url: str | None,
        region: str,
        timeout_s: float,
        max_connections: int,
        max_large_uploads: int,
    ) -> None:
        self._session = session
        # The queue for connections in aiohttp is not first in, first out.
        self._connection_slots = asyncio.Semaphore(max_connections)
        self._large_upload_slots = asyncio.Semaphore(max_large_uploads)
        self._credentials = credentials
        self._base_url = base_url
        self.public_url = public_url
        self._signer = Signer(region)
        self._timeout_s = timeout_s

    async def send(self, request: S3Request) -> S3Response:
        """Returns the response with any status. Raises StorageUnavailable without a response.

        Large uploads first wait for a slot, which does not count towards the timeout. Without
        slots they would share the bandwidth until all time out, and block readers.
        """
        if request.body_bytes <= _LARGE_UPLOAD_BYTES:
            return await self._send_with_timeout(request)
        async with self._large_upload_slots:
            return await self._send_with_timeout(request)

    async def presign(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        life_s: int,
        now: datetime | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Returns a URL below `public_url`, which must not be None. Raises StorageUnavailable.

        A request with the URL must have the same `headers`.
        """
        assert self.public_url is not None
        try:
            credentials = await self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise _without_credentials(error) from error
        url = self.public_url + quote(key, safe="/~")
        return self._signer.presign(credentials, method, url, query, life_s, now, headers)

    async def _send_with_timeout(self, request: S3Request) -> S3Response:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send_with_retries(request)
        except TimeoutError as error:
            raise StorageUnavailable(f"{request.method} timed out") from error
        except BotoCoreError as error:
            raise _without_credentials(error) from error

    async def _send_with_retries(self, request: S3Request) -> S3Response:
        for delay_s in _RETRY_DELAYS_S:
            try:
                response = await self._send_once(request)
            except StorageUnavailable:
                pass
            else:
                if response.status not in _TRANSIENT:
                    return response
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        return await self._send_once(request)

    async def _send_once(self, request: S3Request) -> S3Response:
        url = self._base_url + quote(request.key, safe="/~")
        credentials = await self._credentials.get_frozen_credentials()
        headers = self._signer.sign(
            credentials, request.method, url, request.headers, request.sha256
        )
        try:
            async with (
                self._connection_slots,
                self._session.request(
                    request.method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=request.body(),
                    allow_redirects=False,
                ) as response,
            ):
                return await _read_response(response, request)
        except (aiohttp.ClientError, OSError) as error:
            reason = f"{request.method} failed: {type(error).__name__}"
            raise StorageUnavailable(reason) from error


def _without_credentials(error: BotoCoreError) -> StorageUnavailable:
    return StorageUnavailable(f"credentials: {type(error).__name__}")


async def _read_response(response: aiohttp.ClientResponse, request: S3Request) -> S3Response:
    if response.status >= HTTPStatus.MULTIPLE_CHOICES:
        match = _ERROR_CODE.search(await response.content.read(_MAX_ERROR_BYTES))
        code = match[1].decode() if match else ""
        return S3Response(status=response.status, code=code)
    headers = response.headers
    if request.response_bytes == 0:
        return S3Response(status=response.status, headers=headers)
    missing_bytes = request.response_bytes - (response.content_length or 0)
    if missing_bytes < 0 or (missing_bytes > 0 and not request.allow_shorter):
        raise StorageUnavailable(f"{request.method} returned an unexpected length")
    return S3Response(status=response.status, body=await response.read(), headers=headers)
