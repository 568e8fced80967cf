"""HttpEngine: client of a speech recognition engine.

OpenAI API reference, "Create transcription": a multipart POST of `file` and `model`; the response
is JSON with `text`. Hosted services and self-hosted engines (faster-whisper and others) support it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
import msgspec

from service.domain.transcription import Recognition
from service.security import retry_after_of
from service.workers.channels import Failed

_MAX_RESPONSE_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
# Status codes for audio that the engine cannot process.
_REFUSALS = frozenset({400, 413, 415, 422})


class HttpEngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`url` includes `/audio/transcriptions`. Empty `key`: not sent."""

    url: str
    model: str
    key: str = ""
    timeout_s: float = 300.0


class HttpEngine:
    """Client of one engine. Errors exclude its response texts, which may contain the recording."""

    name = "http"

    def __init__(self, session: aiohttp.ClientSession, settings: HttpEngineSettings) -> None:
        self.model = settings.model
        self._session = session
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: HttpEngineSettings) -> AsyncIterator[Self]:
        headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
        async with aiohttp.ClientSession(
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
        ) as session:
            yield cls(session, settings)

    async def transcribe(
        self, audio: bytes, content_type: str, extension: str, language: str
    ) -> Recognition | Failed:
        """Returns the text of a recording. Engines detect the format by the extension of a name.

        Returns a permanent Failed if the engine rejects the audio.
        """
        form = aiohttp.FormData({"model": self._settings.model, "response_format": "json"})
        if language:
            form.add_field("language", language)
        form.add_field("file", audio, filename=f"message.{extension}", content_type=content_type)
        try:
            async with self._session.post(
                self._settings.url, data=form, allow_redirects=False
            ) as response:
                if response.status != 200:
                    return Failed(
                        error=f"the engine returned {response.status}",
                        permanent=response.status in _REFUSALS,
                        retry_after_s=retry_after_of(response.headers.get("Retry-After", "")),
                    )
                text = await _read_text(response)
        except TimeoutError:
            return Failed(error=f"the engine did not respond within {self._settings.timeout_s:g} s")
        # ValueError: invalid content type or URL.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Failed(error=f"the request to the engine failed: {type(error).__name__}")
        return text if isinstance(text, Failed) else Recognition(text=text, language=language)


class _EngineResponse(msgspec.Struct):
    text: str


async def _read_text(response: aiohttp.ClientResponse) -> str | Failed:
    body = bytearray()
    async for block in response.content.iter_chunked(_BLOCK_BYTES):
        body += block
        if len(body) > _MAX_RESPONSE_BYTES:
            return Failed(error="the response of the engine is too long")
    try:
        return msgspec.json.decode(body, type=_EngineResponse).text
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Failed(error="the response of the engine is not JSON with a text")
