"""The composition root: settings -> pool, S3, NATS -> use cases -> one process; closes all."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from service.domain.clock import utc_now
from service.embedded.dev import Prepared
from service.logs import configure
from service.postgres import outbox
from service.postgres.migrate import migrate
from service.security import generate_key_ring, rotate_key_ring
from service.settings import Settings, SettingsError, read_settings
from service.wiring.accounts import open_operator
from service.wiring.factories import (
    open_audio,
    open_bus,
    open_database,
    open_owner_database,
    stream_settings,
)
from service.wiring.process import serving
from service.wiring.runtime_tuning import freeze_gc
from service.workers.keeper import Keeper, all_steps
from service.workers.relay import DatabaseMetrics, Relay, Republication, republish_since

_DEV_TOKEN_LIFETIME_S = 24 * 3600
_DEV_OLDEST_MONTH = 201001
_AWS_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


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
        group.create_task(DatabaseMetrics(database).run(process.stop))
        freeze_gc()
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
        key = await accounts.get_api_key(caller, root.account_id)
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
