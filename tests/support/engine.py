"""A real HTTP server that hears texts in audio, in the form of OpenAI's API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

PATH = "/v1/audio/transcriptions"
KEY = "sk-of-the-engine"

Act = Callable[["RequestParameters"], Awaitable[web.StreamResponse]]


class RequestParameters(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came: its fields, and the file."""

    fields: dict[str, str]
    name: str
    content_type: str
    audio: bytes

    @property
    def text(self) -> str:
        """What is heard: what the audio begins with, which tests spell out."""
        return self.audio[:60].rstrip(b"\0").decode(errors="replace")


class Engine:
    """Notes what it is asked, and answers as `act` says."""

    def __init__(self) -> None:
        self.asked: list[RequestParameters] = []
        self.act: Act = self.hear
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    async def hear(self, asked: RequestParameters) -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return web.json_response({"text": asked.text, "language": "en"})

    def status(self, *codes: int, **headers: str) -> Act:
        """These refusals one after the other, then what was heard."""
        left = list(codes)

        async def act(asked: RequestParameters) -> web.StreamResponse:
            if left:
                return web.Response(status=left.pop(0), text=asked.text, headers=headers)
            return await self.hear(asked)

        return act

    def says(self, body: bytes) -> Act:
        """This in place of an answer."""

        async def act(_asked: RequestParameters) -> web.StreamResponse:
            return web.Response(body=body, content_type="application/json")

        return act

    async def take(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.Response(status=401)
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        asked = RequestParameters(
            fields={name: value for name, value in form.items() if isinstance(value, str)},
            name=file.filename,
            content_type=file.content_type,
            audio=file.file.read(),
        )
        self.asked.append(asked)
        return await self.act(asked)


@asynccontextmanager
async def running_engine() -> AsyncIterator[Engine]:
    engine = Engine()
    application = web.Application(client_max_size=16_000_000)
    application.router.add_post(PATH, engine.take)
    runner = web.AppRunner(application, shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    engine.port = runner.addresses[0][1]
    try:
        yield engine
    finally:
        await runner.cleanup()
