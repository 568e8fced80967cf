"""An engine for speech recognition over HTTP: the only home of its requests.

OpenAI API reference, "Create transcription": a multipart POST of `file` and `model`, answered by
JSON with `text`. Hosted services and engines of one's own (faster-whisper and others) speak it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from service.security import retry_after_of
from service.workers.channels import Failed

_MOST_ANSWER_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
# What an engine answers to audio that it cannot read or will not take.
_REFUSALS = frozenset({400, 413, 415, 422})


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is whole, up to and with `/audio/transcriptions`. An empty `language` lets the engine
    find it out; an empty `key` sends none."""

    url: str
    model: str
    key: str = ""
    language: str = ""
    timeout_s: float = 300.0


class Engine:
    """Asks one engine. Its own words stay out of what is told: they may hold what was said."""

    def __init__(self, session: aiohttp.ClientSession, settings: EngineSettings) -> None:
        self._session = session
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: EngineSettings) -> "AsyncIterator[Engine]":
        signed = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
        async with aiohttp.ClientSession(
            headers=signed,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
        ) as session:
            yield cls(session, settings)

    async def transcribe(self, audio: bytes, name: str, content_type: str) -> str | Failed:
        """The text of a recording, whose format engines tell by the extension of `name`.

        Failed for good where the engine will not take this audio, however often it is asked.
        """
        form = aiohttp.FormData({"model": self._settings.model, "response_format": "json"})
        if self._settings.language:
            form.add_field("language", self._settings.language)
        form.add_field("file", audio, filename=name, content_type=content_type)
        try:
            async with self._session.post(
                self._settings.url, data=form, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    return Failed(
                        error=f"the engine answers {answer.status}",
                        permanent=answer.status in _REFUSALS,
                        retry_after_s=retry_after_of(answer.headers.get("Retry-After", "")),
                    )
                return await _text(answer)
        except TimeoutError:
            return Failed(error=f"the engine does not answer in {self._settings.timeout_s:g} s")
        # ValueError: a content type or an address that can be none.
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Failed(error=f"the engine cannot be asked: {type(error).__name__}")


class _Heard(msgspec.Struct):
    text: str


async def _text(answer: aiohttp.ClientResponse) -> str | Failed:
    body = bytearray()
    async for block in answer.content.iter_chunked(_BLOCK_BYTES):
        body += block
        if len(body) > _MOST_ANSWER_BYTES:
            return Failed(error="the engine's answer is too long")
    try:
        return msgspec.json.decode(body, type=_Heard).text
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Failed(error="the engine's answer is no JSON with a text")
