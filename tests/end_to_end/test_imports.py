"""Imports and exports as an operator runs them: printed commands, and kills."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.audio.store import AudioStore
from service.embedded.servers import EmbeddedServers
from service.postgres.pool import Database
from service.security import load_key_ring
from service.transfer.source import SourceAccount, SourceBox
from service.usecases.accounts import Accounts
from tests.integration.test_live_sources import PASSWORD, a_tenant
from tests.support.accounts import a_root, accounts_over
from tests.support.archives import exported, members_of
from tests.support.database import DatabasePool
from tests.support.imports import ListSource, a_message, run_import
from tests.support.readme import ROOT, run_block
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

KILLS = 20
MESSAGES = 400


@asynccontextmanager
async def a_deployment(
    service: RunningService, servers: EmbeddedServers, database_pool: DatabasePool
) -> AsyncIterator[tuple[Accounts, dict[str, str]]]:
    """Opens a deployment with a root account; yields it and the settings of its commands."""
    acquired = await database_pool.acquire()
    url = servers.postgres.url(acquired.name, "aftertone")
    environment = {
        **service.environment,
        "AFTERTONE_DATABASE_URL": url,
        # The bucket of the fixture `store`.
        "AFTERTONE_S3_BUCKET": "audio-tests",
        "AFTERTONE_OWNER_DATABASE_URL": servers.postgres.url(acquired.name, "aftertone_owner"),
    }
    ring = load_key_ring(Path(environment["AFTERTONE_KEY_RING_FILE"]))
    async with Database.open(url, size=5, timeout_s=30, name="test") as database:
        accounts = accounts_over(database, ring)
        await a_root(accounts)
        yield accounts, environment
    await database_pool.release(acquired)


async def test_the_printed_commands_import_from_kazoo_from_an_archive_and_from_mailboxes(
    service: RunningService,
    servers: EmbeddedServers,
    database_pool: DatabasePool,
    account: AccountClient,
) -> None:
    await a_tenant(account)
    key = data_of(await account.http.get(account.path("api_key")))["api_key"]
    archive = ROOT / "sales.tar.zst"
    async with a_deployment(service, servers, database_pool) as (_, environment):
        kazoo = {**environment, "KAZOO": service.url, "KAZOO_API_KEY": key}
        printed = await run_block("import kazoo", kazoo)
        assert printed.count(f"account  new       {account.account_id}") == 2
        assert printed.count("message           12         0         0") == 2
        assert "6 messages are older than their retention" in printed
        mailboxes = {
            **environment,
            "API": service.url,
            "RESELLER": account.realm,
            "MAILBOX_USER": "ann",
            "ACCOUNT": account.realm,
            "MAILBOX_PASSWORD": PASSWORD,
        }
        printed = await run_block("import mailboxes", mailboxes, status=3)
        assert "message            0         6         0" in printed
        try:
            export = {**environment, "ACCOUNT": account.realm}
            assert "12 messages, 0 missing audio" in await run_block("export and import", export)
        finally:
            archive.unlink(missing_ok=True)


async def test_an_import_that_is_killed_many_times_is_complete_in_the_end(
    service: RunningService,
    servers: EmbeddedServers,
    database_pool: DatabasePool,
    store: AudioStore,
    tmp_path: Path,
) -> None:
    now = datetime.now(UTC)
    source = ListSource(
        accounts=[SourceAccount(key="a" * 32, name="Acme", realm="acme.example.com")],
        boxes=[
            SourceBox(
                key=digit * 32,
                account_key="a" * 32,
                document={"name": "B", "mailbox": f"10{digit}"},
            )
            for digit in "123"
        ],
        messages=[
            a_message(f"{number}", now - timedelta(hours=number), box_key="123"[number % 3] * 32)
            for number in range(MESSAGES)
        ],
    )
    first, second = tmp_path / "first.tar.zst", tmp_path / "second.tar.zst"
    async with a_deployment(service, servers, database_pool) as (accounts, _):
        root = await accounts.sessions.get_operator()
        await run_import(source, accounts, root, store)
        await exported(accounts, store, first)
    async with a_deployment(service, servers, database_pool) as (accounts, environment):
        arguments = ("import", "--from-archive", str(first), "--yes")
        for kill in range(KILLS):
            await run_until(accounts.database, environment, arguments, MESSAGES * kill // KILLS)
        process = await start(environment, arguments)
        assert await process.wait() == 0
        await exported(accounts, store, second)
        async with accounts.database.connection() as connection:
            counts = await connection.fetch(
                "SELECT new_count, stored_bytes, sequence FROM vmbox_counts"
            )
            audio = await connection.fetchval("SELECT sum(audio_size)::bigint FROM messages")
    assert members_of(first) == members_of(second)
    assert sum(row["new_count"] for row in counts) == MESSAGES
    assert sum(row["stored_bytes"] for row in counts) == audio
    # Each box has one event, and each message one.
    assert sum(row["sequence"] for row in counts) == MESSAGES + len(counts)


async def start(
    environment: dict[str, str], arguments: tuple[str, ...]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def run_until(
    database: Database, environment: dict[str, str], arguments: tuple[str, ...], messages: int
) -> None:
    """Kills the command when it has stored a number of messages."""
    process = await start(environment, arguments)

    async def is_there() -> bool:
        async with database.connection() as connection:
            count = await connection.fetchval("SELECT count(*) FROM messages")
        return process.returncode is not None or count >= messages

    await wait_until(is_there, every_s=0.02)
    if process.returncode is None:
        process.kill()
    await process.wait()
