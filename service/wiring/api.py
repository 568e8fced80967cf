"""The API process: use cases, their dependencies, and the HTTP server."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from service.admin import CannotListen
from service.api.app import create_app
from service.api.dependencies import UseCases
from service.api.http.auth import AuthOptions
from service.api.http.peer import IPNetwork
from service.api.http.rate_limit import RateLimit
from service.api.middleware.body_rate import BodyRateLimits
from service.api.middleware.connection_draining import ConnectionDrainer
from service.api.middleware.connection_limits import ConnectionLimits
from service.domain.clock import utc_now
from service.logs import get_logger
from service.security import LinkTokens, RecipientTokens
from service.settings import Settings, SettingsError, parse_networks
from service.usecases.api_keys import ApiKeys
from service.usecases.audit import Audit
from service.usecases.batches import Batches
from service.usecases.credential_cache import CredentialCache
from service.usecases.feed import Feed
from service.usecases.greetings import Greetings
from service.usecases.idempotency import Idempotency
from service.usecases.mail_consents import MailConsents
from service.usecases.message_lists import MessageLists
from service.usecases.messages import Messages
from service.usecases.pin_check import PinChecks
from service.usecases.recipients import Recipients
from service.usecases.recording_links import RecordingLinks
from service.usecases.recordings import Recordings
from service.usecases.relay_wakeup import RelayWakeup
from service.usecases.slots import StreamSlots
from service.usecases.transfers import Transfers
from service.usecases.trash import Trash
from service.usecases.uploads import Uploads
from service.usecases.vmboxes import Vmboxes
from service.usecases.webhooks import Webhooks
from service.wiring.factories import (
    key_ring_of,
    open_accounts,
    open_audio,
    open_database,
    open_webhook_sender,
    quotas_of,
    users_of,
)
from service.wiring.process import Process, open_process
from service.wiring.runtime_tuning import freeze_gc, raise_file_limit

log = get_logger(__name__)

_NAME = "aftertone api"
_HEADER_BYTES = 64 * 1024


async def run_api(settings: Settings) -> None:
    """Serves HTTP until SIGTERM or SIGINT, then completes the requests in flight."""
    async with (
        open_process(settings, settings.database_url, _NAME) as process,
        _open_use_cases(settings) as use_cases,
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


@asynccontextmanager
async def _open_use_cases(settings: Settings) -> AsyncIterator[UseCases]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(open_database(settings, _NAME))
        hot = await enter(open_database(settings, _NAME, generic_plans=True))
        audio = await enter(open_audio(settings, settings.audio_cache_mb))
        accounts = await enter(open_accounts(settings, database))
        feed = await enter(Feed(database).tail_in_background())
        posts = await enter(open_webhook_sender(settings, accounts.secrets))
        idempotency = Idempotency(hot)
        uploads = Uploads(
            settings.max_uploads_in_flight,
            settings.max_uploads_per_account,
            settings.max_upload_bytes,
        )
        quotas = quotas_of(settings)
        numbers = re.compile(settings.callback_number_pattern)
        vmboxes = Vmboxes(database, accounts.secrets, utc_now, quotas, numbers)
        recordings = Recordings(database, hot, audio)
        yield UseCases(
            accounts=accounts,
            api_keys=ApiKeys(
                database=database,
                account_cache=accounts.account_cache,
                secrets=accounts.secrets,
                clock=utc_now,
                quotas=quotas,
            ),
            users=users_of(accounts, settings),
            credentials=CredentialCache(accounts.sessions),
            vmboxes=vmboxes,
            recipients=Recipients(vmboxes),
            mail_consents=MailConsents(database, RecipientTokens(accounts.secrets)),
            messages=Messages(
                hot=hot,
                audio=audio,
                idempotency=idempotency,
                clock=utc_now,
                retention_days=settings.retention_days,
                oldest_month=settings.oldest_month,
                uploads=uploads,
                quotas=quotas,
            ),
            message_lists=MessageLists(database, hot, utc_now, settings.retention_days),
            pin_checks=PinChecks(vmboxes),
            recordings=recordings,
            recording_links=RecordingLinks(
                sessions=accounts.sessions,
                recordings=recordings,
                tokens=LinkTokens(key_ring_of(settings)),
            ),
            greetings=Greetings(database, audio, utc_now, uploads, quotas),
            webhooks=Webhooks(database=database, sender=posts, quotas=quotas),
            batches=Batches(database, utc_now, settings.retention_days),
            transfers=Transfers(
                database=database,
                audio=audio,
                idempotency=idempotency,
                clock=utc_now,
                retention_days=settings.retention_days,
                quotas=quotas,
            ),
            trash=Trash(
                database=database,
                audio=audio,
                idempotency=idempotency,
                clock=utc_now,
                retention_days=settings.retention_days,
                trash_days=settings.purge_grace_days,
                quotas=quotas,
            ),
            feed=feed,
            audit=Audit(database, accounts.sessions.audit),
            relay_wakeup=RelayWakeup(database),
            auth_options=AuthOptions(
                tokens_in_query=settings.tokens_in_query,
                trusted_proxies=_trusted_proxies(settings),
            ),
            stream_slots=_stream_slots(settings),
            rate_limit=RateLimit(
                settings.rate_limit_per_s, settings.rate_limit_burst, time.monotonic
            ),
            public_url=settings.public_url.rstrip("/"),
            kazoo_neighbours=settings.kazoo_neighbours,
            redirect_audio=settings.redirect_audio,
            strict_metadata=settings.strict_metadata,
        )


def _stream_slots(settings: Settings) -> StreamSlots:
    """Returns the slots of event streams. At least a quarter of the connections is for others."""
    total = settings.max_connections * 3 // 4
    return StreamSlots(
        min(settings.max_streams or total, total),
        settings.max_streams_per_account,
        settings.max_streams_per_token,
    )


def _trusted_proxies(settings: Settings) -> tuple[IPNetwork, ...]:
    try:
        return parse_networks(settings.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"AFTERTONE_TRUSTED_PROXIES is not valid: {error}.") from None


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
