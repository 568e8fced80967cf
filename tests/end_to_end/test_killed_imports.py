"""Imports through the command line: killed at many points, repeated, and read through the API."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from service.embedded.servers import EmbeddedServers
from tests.end_to_end.test_imports import a_deployment
from tests.support.asterisk_spool import generate_spool
from tests.support.database import DatabasePool
from tests.support.readme import run_block
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.source_content import ImportedMessage
from tests.support.switch_databases import (
    generate_freeswitch,
    generate_fusionpbx,
    write_postgres,
    write_sqlite,
)
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

COUNT, KILLS = 500, 20
INCOMPLETE = 3
_GREGORIAN_S = 62_167_219_200
_PAGE = {"page_size": 1000}


class Prepared(msgspec.Struct):
    """Arguments of an import, and what it must create and skip."""

    arguments: list[str]
    messages: list[ImportedMessage]
    skipped: set[str]


def _asterisk(folder: Path, realm: str) -> Prepared:
    spool = generate_spool(folder, COUNT, realm)
    arguments = ["--from-asterisk", str(spool.root), "--config", str(spool.conf), "--realm", realm]
    return Prepared(arguments, spool.messages, spool.skipped)


def _fusionpbx(folder: Path, realm: str) -> Prepared:
    switch = generate_fusionpbx(folder, COUNT, realm)
    write_sqlite(switch, folder / "fusionpbx.db")
    arguments = ["--from-fusionpbx", str(folder / "fusionpbx.db"), "--files", str(switch.folder)]
    return Prepared(arguments, switch.messages, set(switch.skipped))


def _freeswitch(folder: Path, realm: str) -> Prepared:
    switch = generate_freeswitch(folder, COUNT, realm)
    write_sqlite(switch, folder / "freeswitch.db")
    arguments = ["--from-freeswitch", str(folder / "freeswitch.db"), "--files", str(switch.folder)]
    return Prepared(arguments, switch.messages, set(switch.skipped))


@pytest_asyncio.fixture(loop_scope="session")
async def connection(account: AccountClient) -> AsyncIterator[asyncpg.Connection]:
    url = account.service.environment["AFTERTONE_OWNER_DATABASE_URL"]
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def _start(account: AccountClient, arguments: list[str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "import", *arguments),
        *("--below", account.account_id, "--yes"),
        env=account.service.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _run(account: AccountClient, arguments: list[str]) -> tuple[int | None, str]:
    process = await _start(account, arguments)
    output, errors = await process.communicate()
    assert not errors, errors.decode()
    return process.returncode, output.decode()


async def _imported(account: AccountClient) -> list[tuple[Any, ...]]:
    """Returns all messages of the accounts below an account, read through the API."""
    messages = []
    path = account.path("descendants")
    for child in data_of(await account.http.get(path, params=_PAGE)):
        boxes = f"accounts/{child['id']}/vmboxes"
        for box in data_of(await account.http.get(boxes, params=_PAGE)):
            listed = f"{boxes}/{box['id']}/messages"
            for row in data_of(await account.http.get(listed, params=_PAGE)):
                audio = await account.http.get(f"{listed}/{row['media_id']}/raw")
                messages.append(
                    (
                        f"{child['realm']}/{box['mailbox']}",
                        row["timestamp"] - _GREGORIAN_S,
                        row["caller_id_number"],
                        row["caller_id_name"],
                        row["folder"],
                        audio.content,
                    )
                )
    return sorted(messages)


def _expected(prepared: Prepared) -> list[tuple[Any, ...]]:
    return sorted(
        (
            each.box,
            each.received_at,
            each.number or "anonymous",
            each.name or "anonymous",
            each.folder.value,
            each.audio,
        )
        for each in prepared.messages
    )


@pytest.mark.parametrize("prepare", [_asterisk, _fusionpbx, _freeswitch])
async def test_an_import_that_is_killed_anywhere_is_completed_by_the_next_run(
    prepare: Callable[[Path, str], Prepared],
    account: AccountClient,
    connection: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    prepared = prepare(tmp_path, account.realm)
    counting = (
        "SELECT (SELECT count(*) FROM vmboxes JOIN accounts a USING (account_id)"
        " WHERE a.parent_id = $1), (SELECT count(*) FROM messages JOIN accounts a"
        " USING (account_id) WHERE a.parent_id = $1)"
    )

    async def is_past(boxes: int, messages: int, process: asyncio.subprocess.Process) -> bool:
        row = await connection.fetchrow(counting, account.account_id)
        assert row is not None
        return process.returncode is not None or (row[0] >= boxes and row[1] >= messages)

    for kill in range(KILLS):
        process = await _start(account, prepared.arguments)
        # The first ones are killed while accounts, greetings and boxes are written.
        boxes, messages = min(kill, 4), max(kill - 3, 0) * COUNT // KILLS
        await wait_until(partial(is_past, boxes, messages, process))
        has_ended = process.returncode is not None
        if not has_ended:
            process.kill()
        _, errors = await process.communicate()
        assert not has_ended, f"the import ended before it was killed: {errors.decode()}"

    code, output = await _run(account, prepared.arguments)

    assert code == INCOMPLETE
    listed = output.partition("Not imported, or not completely:\n")[2]
    assert all(f" {name}: " in listed for name in prepared.skipped)
    assert await _imported(account) == _expected(prepared)

    state = await connection.fetch("SELECT * FROM messages ORDER BY account_id, month, id")
    code, output = await _run(account, prepared.arguments)
    assert code == INCOMPLETE
    assert state == await connection.fetch("SELECT * FROM messages ORDER BY account_id, month, id")


async def test_the_printed_commands_import_from_asterisk_and_fusionpbx(
    service: RunningService,
    servers: EmbeddedServers,
    database_pool: DatabasePool,
    tmp_path: Path,
) -> None:
    spool = generate_spool(tmp_path / "asterisk", 12, is_clean=True)
    switch = generate_fusionpbx(tmp_path / "fusionpbx", 12, is_clean=True)
    source = await database_pool.acquire()
    address = servers.postgres.url(source.name, "aftertone_owner")
    connection = await asyncpg.connect(address)
    await write_postgres(switch, connection)
    await connection.close()

    async with a_deployment(service, servers, database_pool) as (_, environment):
        printed = await run_block(
            "import asterisk",
            {**environment, "SPOOL": str(spool.root), "CONFIG": str(spool.conf)},
        )
        assert printed.count("message           12         0         0") == 2
        assert "sales.pbx.example.com/200" in printed
        printed = await run_block(
            "import fusionpbx",
            {**environment, "DATABASE": address, "FILES": str(switch.folder)},
        )
        assert printed.count("message           12         0         0") == 2
    await database_pool.release(source)
