"""The API process: the use cases and the HTTP server."""

import asyncio

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from service.admin import CannotListen
from service.api.app import create_app
from service.api.dependencies import UseCases
from service.api.middleware.body_rate import BodyRateLimits
from service.api.middleware.connection_draining import ConnectionDrainer
from service.api.middleware.connection_limits import ConnectionLimits
from service.logs import get_logger
from service.settings import Settings
from service.wiring.process import Process, open_process
from service.wiring.runtime_tuning import freeze_gc, raise_file_limit
from service.wiring.use_cases import open_use_cases

log = get_logger(__name__)

_NAME = "aftertone api"
_HEADER_BYTES = 64 * 1024


async def run_api(settings: Settings) -> None:
    """Serves HTTP until SIGTERM or SIGINT, then completes the requests in flight."""
    async with (
        open_process(settings, settings.database_url, _NAME) as process,
        open_use_cases(settings, _NAME) as use_cases,
    ):
        drainer = ConnectionDrainer()
        raise_file_limit(settings.max_connections)
        limits = ConnectionLimits(
            settings.max_connections,
            settings.max_connections_per_peer,
            use_cases.auth_options.trusted_proxies,
        )
        process.add_readiness_check(limits.not_ready)
        server = _create_server(use_cases, drainer, limits, settings)
        process.on_stop(use_cases.feed.close)
        process.on_stop(lambda: drainer.begin(server.stop))
        freeze_gc()
        server.on_startup(lambda: _report_listening(settings, process))
        async with limits.enforced():
            await _serve(server, settings)
    log.info("process stopped")


def _create_server(
    use_cases: UseCases, drainer: ConnectionDrainer, limits: ConnectionLimits, settings: Settings
) -> Server:
    body_rate = BodyRateLimits(
        grace_s=settings.client_grace_s,
        bytes_per_s=settings.min_upload_bytes_per_s,
        is_scarce=lambda: use_cases.messages.uploads.is_scarce,
    )
    app = create_app(use_cases, drainer, body_rate, settings.request_deadline_s)
    return Server(
        limits.wrap(app),
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGINL,
        # The detection of HTTP/2 has no timeout, so silent connections would stay open.
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
        backlog=1024,
        # A number of connections, including idle connections.
        backpressure=settings.max_connections,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(settings.client_grace_s * 1000),
            max_buffer_size=_HEADER_BYTES,
        ),
    )


def _report_listening(settings: Settings, process: Process) -> None:
    """Reports the start. Granian calls this just before it listens, hence two loop turns later."""

    def report() -> None:
        log.info("listening", host=settings.host, port=settings.port)
        process.mark_started()

    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, report)


async def _serve(server: Server, settings: Settings) -> None:
    try:
        await server.serve()
    except RuntimeError as error:
        # The first line names the cause; the rest is the library's stack trace.
        reason, _, _ = str(error).partition("\n")
        raise CannotListen(
            f"Cannot listen on {settings.host} port {settings.port}: {reason}. "
            "Choose another port with AFTERTONE_PORT (0: any free port)."
        ) from error
