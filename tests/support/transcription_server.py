"""HTTP server with the transcription API of OpenAI. The first bytes of the audio are the text."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

PATH = "/v1/audio/transcriptions"
KEY = "sk-of-the-engine"

Act = Callable[["TranscriptionRequest"], Awaitable[web.StreamResponse]]


class TranscriptionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A received request: its form fields and the file."""

    fields: dict[str, str]
    name: str
    content_type: str
    audio: bytes

    @property
    def text(self) -> str:
        """The transcript of this audio: its first bytes as text."""
        return self.audio[:60].rstrip(b"\0").decode(errors="replace")


class TranscriptionServer:
    """Records each request and answers as `act` says."""

    def __init__(self) -> None:
        self.requests: list[TranscriptionRequest] = []
        self.act: Act = self.transcribe
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    async def transcribe(self, request: TranscriptionRequest) -> web.StreamResponse:
        return web.json_response({"text": request.text, "language": "en"})

    def status(self, *codes: int, **headers: str) -> Act:
        """Answers with these statuses, one per request, then with transcripts."""
        left = list(codes)

        async def act(request: TranscriptionRequest) -> web.StreamResponse:
            if left:
                return web.Response(status=left.pop(0), text=request.text, headers=headers)
            return await self.transcribe(request)

        return act

    def answer_with(self, body: bytes) -> Act:
        """Answers with this body."""

        async def act(_request: TranscriptionRequest) -> web.StreamResponse:
            return web.Response(body=body, content_type="application/json")

        return act

    async def take(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.Response(status=401)
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        parsed = TranscriptionRequest(
            fields={name: value for name, value in form.items() if isinstance(value, str)},
            name=file.filename,
            content_type=file.content_type,
            audio=file.file.read(),
        )
        self.requests.append(parsed)
        return await self.act(parsed)


@asynccontextmanager
async def running_transcription_server() -> AsyncIterator[TranscriptionServer]:
    server = TranscriptionServer()
    application = web.Application(client_max_size=16_000_000)
    application.router.add_post(PATH, server.take)
    runner = web.AppRunner(application, shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
