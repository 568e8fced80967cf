"""HTTP client of sources: retries, a maximum rate, and streams of audio."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec

from service.domain.errors import Unavailable
from service.transfer.source import ReceivedAudio, SourceError, SourceFailed

Headers = Callable[[bool], Awaitable[Mapping[str, str]]]
"""Returns the headers with the credentials; `True` after they were rejected."""

_RETRY_DELAYS_S = (0.5, 2.0, 5.0, 15.0, 30.0)
_MAX_WAIT_S = 120.0
_MAX_BODY_BYTES = 64 * 1024 * 1024
_CONNECTIONS = 8
_BLOCK_BYTES = 256 * 1024
_RETRIED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}


class HttpAnswer(msgspec.Struct, frozen=True):
    """Status and decoded JSON body."""

    status: int
    body: Any


class SourceHttp:
    """Requests to one server. `rate` is the maximum number of requests per second.

    Credentials are sent to this server only: a redirect of audio is followed without them.
    """

    def __init__(self, base_url: str, headers: Headers, rate: float) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = headers
        self._interval_s = 1 / rate
        self._next = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, **query: str | int) -> HttpAnswer:
        """Returns an answer that is not to be retried. Raises SourceFailed."""
        return await self.request("GET", path, query=query)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        data: Any = None,
        signs_in: bool = False,
    ) -> HttpAnswer:
        """Sends a request with retries. Raises SourceFailed when the server does not answer."""
        is_rejected = False
        for delay_s in (*_RETRY_DELAYS_S, None):
            try:
                headers = {} if signs_in else dict(await self._headers(is_rejected))
                async with self._send(method, path, headers, query, data) as response:
                    body = await response.content.read(_MAX_BODY_BYTES)
                    status, wait_s = response.status, _retry_after(response)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason, wait_s = type(error).__name__, None
            else:
                if status == HTTPStatus.UNAUTHORIZED and not (signs_in or is_rejected):
                    is_rejected = True
                    continue
                if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIED:
                    return HttpAnswer(status, _decode(body))
                reason = f"status {status}"
            if delay_s is not None:
                await asyncio.sleep(min(max(delay_s, wait_s or 0), _MAX_WAIT_S))
        raise SourceFailed(
            f"{self.base_url} does not answer ({reason}). Run the same command again: the import "
            "continues."
        )

    def audio(self, path: str) -> ReceivedAudio:
        """Returns the audio at a path, with its content type."""
        return _HttpAudio(self, path)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def open_audio(self, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Opens a response with audio. Raises SourceError, and Unavailable if it may be retried."""
        headers = dict(await self._headers(False))
        try:
            async with self._send("GET", path, headers) as response:
                location = response.headers.get("Location")
                if response.status in (302, 303, 307) and location:
                    async with self._connection().get(location) as redirected:
                        yield _checked(redirected)
                else:
                    yield _checked(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{self.base_url}: {type(error).__name__}") from error

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str | int] | None = None,
        data: Any = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        await self._wait_for_turn()
        async with self._connection().request(
            method,
            f"{self.base_url}{path}",
            headers=headers,
            params=query,
            json=data,
            allow_redirects=False,
        ) as response:
            yield response

    async def _wait_for_turn(self) -> None:
        now = time.monotonic()
        self._next = max(self._next, now) + self._interval_s
        await asyncio.sleep(self._next - self._interval_s - now)

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60),
                trust_env=True,
            )
        return self._session


class _HttpAudio(ReceivedAudio):
    def __init__(self, http: SourceHttp, path: str) -> None:
        self._http = http
        self._path = path

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with self._http.open_audio(self._path) as response:
            self.content_type = response.headers.get("Content-Type")
            async for block in response.content.iter_chunked(_BLOCK_BYTES):
                yield block


def _checked(response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    """Returns a response with a body. Raises SourceError, Unavailable."""
    match response.status:
        case HTTPStatus.OK:
            return response
        case HTTPStatus.NOT_FOUND:
            raise SourceError("its audio is missing in the source")
        case status if status in _RETRIED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable(f"the source answered with status {status}")
        case status:
            raise SourceError(f"its audio cannot be read: status {status}")


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
