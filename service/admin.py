"""HTTP server for health and metrics; the same in every process, separate from the public API."""

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

STARTING = "The process is starting."
STOPPING = "The process is stopping and accepts no new work."

NotReady = Callable[[], Awaitable[str | None]]
"""Returns the reason why the process is not ready, or None if it is ready."""


class CannotListen(Exception):
    """The server cannot listen on a port. The text names the port and the reason."""


class AdminServer:
    """Serves health and metrics. `not_ready` must be fast and return no secrets."""

    def __init__(self, not_ready: NotReady) -> None:
        self.started = False
        self.stopping = False
        self._not_ready = not_ready
        self._readiness: asyncio.Task[str | None] | None = None

    @asynccontextmanager
    async def listen(self, host: str, port: int) -> AsyncIterator[int]:
        """Serves while the block runs. Yields the port: for 0, a free one. Raises CannotListen."""
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
            log.info("serving health and metrics", host=host, port=site.port)
            yield site.port
        finally:
            await runner.cleanup()

    async def _startup(self, _request: web.Request) -> web.Response:
        return _health_response(None if self.started else STARTING)

    async def _live(self, _request: web.Request) -> web.Response:
        """Always succeeds: a response shows that the event loop is running."""
        return _health_response(None)

    async def _ready(self, _request: web.Request) -> web.Response:
        if self.stopping:
            return _health_response(STOPPING)
        if not self.started:
            return _health_response(STARTING)
        return _health_response(await self._shared_readiness())

    async def _shared_readiness(self) -> str | None:
        """Shares one check between concurrent probes, so that they do not queue up."""
        if self._readiness is None or self._readiness.done():
            self._readiness = asyncio.create_task(self._check_readiness())
        return await asyncio.shield(self._readiness)

    async def _check_readiness(self) -> str | None:
        try:
            return await self._not_ready()
        except Exception:
            # A defect of a check means not ready, and must not end the admin server.
            log.exception("readiness check failed")
            return "The readiness check failed: see the log of the process."


async def _start(site: web.TCPSite, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CannotListen(
            f"Cannot serve health and metrics on {host} port {port}: {reason}. "
            "Choose another port with AFTERTONE_ADMIN_PORT (0: any free port)."
        ) from error


async def _metrics(_request: web.Request) -> web.Response:
    # In a thread, so that requests are not delayed.
    text = await asyncio.to_thread(generate_latest, REGISTRY)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _health_response(problem: str | None) -> web.Response:
    status = {"status": "ok"} if problem is None else {"status": "unavailable", "reason": problem}
    return web.Response(
        body=msgspec.json.encode(status),
        status=200 if problem is None else 503,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
