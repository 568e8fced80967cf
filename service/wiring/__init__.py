"""Composition root: builds processes and operator commands from settings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from service.domain.clock import utc_now
from service.postgres import outbox
from service.postgres.migrate import migrate
from service.security import SecretBox
from service.settings import Settings, SettingsError
from service.wiring.factories import (
    key_ring_of,
    open_audio,
    open_bus,
    open_database,
    open_owner_database,
    require_direct,
    retention_of,
    stream_settings,
)
from service.wiring.process import open_process
from service.wiring.runtime_tuning import freeze_gc
from service.workers.keeper import Keeper, all_steps
from service.workers.relay import (
    DatabaseMetrics,
    Relay,
    RelaySettings,
    Republication,
    republish_since,
)


async def run_relay(settings: Settings) -> None:
    """Publishes the outbox until SIGTERM or SIGINT, then completes the events in flight."""
    name = "aftertone relay"
    settings = await require_direct(settings, "database_url")
    async with (
        open_process(settings, settings.database_url, name) as process,
        open_database(settings, name, size=4) as database,
        open_bus(settings, name) as bus,
        asyncio.TaskGroup() as group,
    ):
        relay = Relay(
            database,
            bus,
            database_url=settings.database_url,
            settings=RelaySettings(shards=settings.relay_shards),
        )
        group.create_task(relay.run(process.stop))
        group.create_task(DatabaseMetrics(database).run(process.stop))
        freeze_gc()
        process.mark_started()


async def run_keeper(settings: Settings) -> None:
    """Runs the keeper's steps until SIGTERM or SIGINT."""
    settings = await require_direct(settings, "owner_database_url")
    async with (
        open_process(settings, settings.owner_database_url, "aftertone keeper") as process,
        open_keeper(settings) as keeper,
    ):
        process.mark_started()
        await keeper.run(process.stop)


async def republish(settings: Settings, since: datetime) -> Republication:
    """Makes the relays publish events again. Raises RepublicationRefused."""
    async with open_database(settings, "aftertone cli", size=1) as database:
        window_s = stream_settings(settings).duplicate_window_s
        return await republish_since(database, since, duplicate_window_s=window_s)


async def raise_epoch(settings: Settings) -> int:
    """Raises the epoch, so that new events sort after all earlier ones. Returns it."""
    async with (
        open_database(settings, "aftertone cli", size=1) as database,
        database.connection() as c,
    ):
        return await outbox.raise_epoch(c)


async def run_migrate(settings: Settings) -> list[str]:
    """Applies missing migrations and returns their names."""
    if not settings.owner_database_url:
        raise SettingsError("AFTERTONE_OWNER_DATABASE_URL is not set. Migrations need it.")
    return await migrate(
        settings.owner_database_url,
        service_url=settings.database_url,
        oldest_month=settings.oldest_month,
    )


@asynccontextmanager
async def open_keeper(settings: Settings) -> AsyncIterator[Keeper]:
    """Opens the keeper with all its steps."""
    async with open_owner_database(settings) as database, open_audio(settings) as audio:
        steps = all_steps(
            database=database,
            audio=audio,
            clock=utc_now,
            retention=retention_of(settings),
            purge_grace=timedelta(days=settings.purge_grace_days),
            orphan_grace=timedelta(hours=settings.orphan_grace_hours),
            audit_max_age=timedelta(days=settings.audit_days),
            open_bus=lambda: open_bus(settings, "aftertone keeper"),
            mail_folder=Path(settings.kept_mail_folder) if settings.kept_mail_folder else None,
            secrets=SecretBox(key_ring_of(settings)) if settings.key_ring_file else None,
        )
        yield Keeper(database, settings.owner_database_url, utc_now, steps)
