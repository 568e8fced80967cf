"""The listener of health and metrics, the same for every process, apart from the public one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.logs import get_logger
from service.metrics import REGISTRY

log = get_logger(__name__)

STARTING = "It is still starting."
STOPPING = "It is stopping: what it has in hand is finished, nothing new is taken."

NotReady = Callable[[], Awaitable[str | None]]
"""Says in a sentence what keeps the process from its work; None when nothing does."""


class CannotListen(Exception):
    """A port that is asked for cannot be had; the text says which and why."""


class Admin:
    """What a process tells of itself. `not_ready` must answer soon, and without secrets."""

    def __init__(self, not_ready: NotReady) -> None:
        self.started = False
        self.stopping = False
        self._not_ready = not_ready
        self._asked: asyncio.Task[str | None] | None = None

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Answers until the block is left, on the port that is given back (0: any free one).

        Raises CannotListen.
        """
        app = web.Application()
        app.router.add_get("/health/startup", self._startup)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/metrics", _metrics)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await _start(site, host, port)
            log.info("Health and metrics are told", host=host, port=site.port)
            yield site.port
        finally:
            await runner.cleanup()

    async def _startup(self, _request: web.Request) -> web.Response:
        return _answer(None if self.started else STARTING)

    async def _live(self, _request: web.Request) -> web.Response:
        """That this is answered at all is the answer: the event loop turns."""
        return _answer(None)

    async def _ready(self, _request: web.Request) -> web.Response:
        if self.stopping:
            return _answer(STOPPING)
        if not self.started:
            return _answer(STARTING)
        return _answer(await self._ask())

    async def _ask(self) -> str | None:
        """Many that ask at once share one look, so that they cannot pile up before a slow one."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._shielded())
        return await asyncio.shield(self._asked)

    async def _shielded(self) -> str | None:
        try:
            return await self._not_ready()
        except Exception:
            log.exception("Readiness cannot be told")
            return "Its readiness cannot be told: see its log."


async def _start(site: web.TCPSite, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CannotListen(
            f"Health and metrics cannot be told on {host} port {port}: {reason}. "
            "Choose another with AFTERTONE_ADMIN_PORT (0: any free one)."
        ) from error


async def _metrics(_request: web.Request) -> web.Response:
    # In a thread, so that requests go on in between.
    text = await asyncio.to_thread(generate_latest, REGISTRY)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _answer(problem: str | None) -> web.Response:
    status = {"status": "ok"} if problem is None else {"status": "unavailable", "reason": problem}
    return web.Response(
        body=msgspec.json.encode(status),
        status=200 if problem is None else 503,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
