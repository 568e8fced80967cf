"""The composition root: settings -> pool, S3, NATS -> use cases -> one process; closes all."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from service.admin import CannotListen
from service.api.app import create_app
from service.api.auth import Options
from service.api.pace import PaceLimits
from service.api.parting import Parting
from service.api.use_cases import UseCases
from service.embedded.dev import Prepared
from service.logs import configure, get_logger
from service.postgres import outbox
from service.postgres.migrate import migrate
from service.security import generate_key_ring, rotate_key_ring
from service.settings import Settings, SettingsError, read_settings
from service.usecases.batches import Batches
from service.usecases.feed import Feed
from service.usecases.greetings import Greetings
from service.usecases.idempotency import Idempotency
from service.usecases.messages import Messages
from service.usecases.passes import Passes
from service.usecases.recipients import Recipients
from service.usecases.recordings import Recordings
from service.usecases.transfers import Transfers
from service.usecases.uploads import Uploads
from service.usecases.vmboxes import Vmboxes
from service.usecases.webhooks import Webhooks
from service.wiring.desk import open_operator
from service.wiring.memory import give_back_memory, spare_what_stays
from service.wiring.parts import (
    open_accounts,
    open_audio,
    open_bus,
    open_database,
    open_owner_database,
    open_webhook_posts,
    stream_settings,
    users_beside,
    utc_now,
)
from service.wiring.process import serving
from service.workers.keeper import Keeper, all_steps
from service.workers.relay import Relay, Republication, Watch, republish_since

log = get_logger(__name__)

_DEV_TOKEN_LIFETIME_S = 24 * 3600
_DEV_OLDEST_MONTH = 201001
_REQUESTS_AT_ONCE = 4096
_HEADER_BYTES = 64 * 1024
_AWS_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


async def run_api(settings: Settings) -> None:
    """Serves HTTP until SIGTERM or SIGINT; requests in flight finish."""
    give_back_memory()
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(
            serving(settings, settings.database_url, "aftertone api")
        )
        database = await stack.enter_async_context(open_database(settings, "aftertone api"))
        inserts = await stack.enter_async_context(
            open_database(settings, "aftertone api", generic_plans=True)
        )
        audio = await stack.enter_async_context(open_audio(settings))
        accounts = await stack.enter_async_context(open_accounts(settings, database))
        feed = await stack.enter_async_context(Feed(database).tailed())
        posts = await stack.enter_async_context(open_webhook_posts(settings, accounts.secrets))
        idempotency = Idempotency(database)
        uploads = Uploads(settings.max_uploads_in_flight, settings.max_upload_bytes)
        vmboxes = Vmboxes(database, accounts.secrets, utc_now)
        use = UseCases(
            accounts=accounts,
            users=users_beside(accounts),
            passes=Passes(accounts.sessions),
            vmboxes=vmboxes,
            recipients=Recipients(vmboxes),
            messages=Messages(
                database=database,
                inserts=inserts,
                audio=audio,
                idempotency=idempotency,
                clock=utc_now,
                retention_days=settings.retention_days,
                oldest_month=settings.oldest_month,
                uploads=uploads,
            ),
            recordings=Recordings(database, audio),
            greetings=Greetings(database, audio, utc_now, uploads),
            webhooks=Webhooks(database=database, posts=posts),
            batches=Batches(database, utc_now, settings.retention_days),
            transfers=Transfers(database, audio, idempotency, utc_now, settings.retention_days),
            feed=feed,
            options=Options(tokens_in_query=settings.tokens_in_query),
        )
        pace = PaceLimits(
            grace_s=settings.client_grace_s,
            bytes_per_s=settings.min_upload_bytes_per_s,
            deadline_s=settings.request_deadline_s,
        )
        parting = Parting(create_app(use, pace))
        server = Server(
            parting,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto,
            websockets=False,
            log_enabled=False,
            # Connections that only wait cost little; what costs much is bounded where it does.
            backlog=1024,
            backpressure=_REQUESTS_AT_ONCE,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(settings.client_grace_s * 1000),
                max_buffer_size=_HEADER_BYTES,
            ),
        )
        process.on_stop(feed.close)
        process.on_stop(lambda: parting.begin(server.stop))
        spare_what_stays()
        log.info("Serving", host=settings.host, port=settings.port)
        # As soon as the server waits for connections.
        asyncio.get_running_loop().call_soon(process.started)
        await _serve(server, settings)
    log.info("Stopped")


async def _serve(server: Server, settings: Settings) -> None:
    try:
        await server.serve()
    except RuntimeError as error:
        # Of the port; what follows is the library's own trace.
        reason, _, _ = str(error).partition("\n")
        raise CannotListen(
            f"HTTP cannot be served on {settings.host} port {settings.port}: {reason}. "
            "Choose another with AFTERTONE_PORT (0: any free one)."
        ) from error


async def run_relay(settings: Settings) -> None:
    """Publishes the outbox until SIGTERM or SIGINT; what is in flight is finished."""
    name = "aftertone relay"
    async with (
        serving(settings, settings.database_url, name) as process,
        open_database(settings, name, size=4) as database,
        open_bus(settings, name) as bus,
        asyncio.TaskGroup() as group,
    ):
        relay = Relay(database, bus, database_url=settings.database_url)
        group.create_task(relay.run(process.stop))
        group.create_task(Watch(database).run(process.stop))
        spare_what_stays()
        process.started()


async def run_keeper(settings: Settings) -> None:
    """Runs the keeper's steps until SIGTERM or SIGINT."""
    async with (
        serving(settings, settings.owner_database_url, "aftertone keeper") as process,
        keeper(settings) as running,
    ):
        process.started()
        await running.run(process.stop)


async def republish(settings: Settings, since: datetime) -> Republication:
    """Has the active relay send events again; RepublicationRefused when they would be dropped."""
    async with open_database(settings, "aftertone cli", size=1) as database:
        window_s = stream_settings(settings).duplicate_window_s
        return await republish_since(database, since, duplicate_window_s=window_s)


async def raise_epoch(settings: Settings) -> int:
    """The next epoch: what is written from now on comes after all that was."""
    async with (
        open_database(settings, "aftertone cli", size=1) as database,
        database.connection() as c,
    ):
        return await outbox.raise_epoch(c)


async def run_migrate(settings: Settings) -> list[str]:
    """Brings the database up to date; the names of what was done."""
    if not settings.owner_database_url:
        raise SettingsError("AFTERTONE_OWNER_DATABASE_URL is not set: migrations need the owner.")
    return await migrate(settings.owner_database_url, service_url=settings.database_url)


@asynccontextmanager
async def keeper(settings: Settings) -> AsyncIterator[Keeper]:
    """The keeper's steps, for its process and for the command line."""
    async with open_owner_database(settings) as database, open_audio(settings) as audio:
        steps = all_steps(
            database=database,
            audio=audio,
            clock=utc_now,
            retention_days=settings.retention_days,
            purge_grace=timedelta(days=settings.purge_grace_days),
            orphan_grace=timedelta(hours=settings.orphan_grace_hours),
        )
        yield Keeper(database, settings.owner_database_url, utc_now, steps)


async def prepare_dev(folder: Path, environment: Mapping[str, str]) -> Prepared:
    """Makes fresh or old embedded servers ready: keys, tables, bucket, root account, a token."""
    ring = folder / "keys.json"
    if not ring.exists():
        write_key_ring(ring)
    more = {
        "AFTERTONE_KEY_RING_FILE": str(ring),
        "AFTERTONE_OLDEST_MONTH": str(_DEV_OLDEST_MONTH),
        # Several processes on one machine: whoever starts one may name another.
        "AFTERTONE_ADMIN_PORT": "0",
        "AFTERTONE_WEBHOOK_ALLOW_PRIVATE": "true",
    }
    settings = read_settings({**environment, **more})
    await run_migrate(settings)
    # The AWS library looks for credentials here, and only here or in files.
    os.environ.update({name: environment[name] for name in _AWS_NAMES})
    async with open_audio(settings) as audio:
        await audio.ensure_bucket()
    async with open_operator(settings) as accounts:
        root = await accounts.create_root("aftertone", "aftertone.localhost")
        caller = await accounts.sessions.operator()
        key = await accounts.api_key(caller, root.account_id)
        token = await accounts.sessions.issue_token(caller, root.account_id, _DEV_TOKEN_LIFETIME_S)
    identity = {
        "AFTERTONE_ACCOUNT_ID": root.account_id.hex,
        "AFTERTONE_API_KEY": key,
        "AFTERTONE_AUTH_TOKEN": token,
    }
    return Prepared(environment={**more, **identity})


def write_key_ring(path: Path) -> None:
    """A new key ring that only its owner may read; never over one that exists."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(generate_key_ring())


def rotate_keys(path: Path, *, add: bool, activate: bool) -> None:
    """Writes the ring with new keys (see `rotate_key_ring`) in place of the old one, or not at
    all: a ring that is cut off would lose what it has sealed."""
    content = rotate_key_ring(path, add=add, activate=activate)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def configure_logs(settings: Settings, process: str) -> None:
    configure(process, settings.log_level, settings.log_format)
