"""Migrations: each once, in order, unchanged, one run at a time, and atomic."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from service.domain.errors import DatabaseUnavailable
from service.domain.message import month_after, month_of
from service.embedded.servers import EmbeddedServers
from service.postgres.migrate import Migration, MigrationError, migrate, read_migrations
from service.postgres.pool import Database
from tests.support.database import TestDatabase, execute

SHIPPED = read_migrations()


@pytest_asyncio.fixture(loop_scope="session")
async def empty(servers: EmbeddedServers) -> AsyncIterator[TestDatabase]:
    """A database without any table."""
    name = f"test_{uuid4().hex}"
    await execute(servers, f"CREATE DATABASE {name}")
    yield TestDatabase(
        url=servers.postgres.url(name, "aftertone"),
        owner_url=servers.postgres.url(name, "aftertone_owner"),
    )
    await execute(servers, f"DROP DATABASE {name} WITH (FORCE)", role="postgres")


def following(*texts: str) -> list[Migration]:
    """The shipped migrations and further ones."""
    first = SHIPPED[-1].number + 1
    more = [
        Migration(number, f"{number:04d}_expand_more", text)
        for number, text in enumerate(texts, start=first)
    ]
    return [*SHIPPED, *more]


async def run(database: TestDatabase, migrations: list[Migration] | None = None) -> list[str]:
    return await migrate(
        database.owner_url, service_url=database.url, migrations=migrations or SHIPPED
    )


async def query(database: TestDatabase, question: str) -> object:
    connection = await asyncpg.connect(database.owner_url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_a_second_run_does_nothing(empty: TestDatabase) -> None:
    done = await run(empty)
    assert done[: len(SHIPPED)] == [migration.name for migration in SHIPPED]
    assert await run(empty) == []


async def test_the_first_run_makes_the_months_and_days_ahead(empty: TestDatabase) -> None:
    await run(empty)
    now = datetime.now(UTC)
    months = [month_after(month_of(now), ahead) for ahead in range(-4, 4)]
    days = [now.date() + timedelta(days=ahead) for ahead in range(36)]
    expected = [
        *(f"messages_{month}" for month in months),
        *(f"audit_{month}" for month in months[3:]),
        *(f"outbox_{day:%Y%m%d}" for day in days),
    ]
    for name in expected:
        assert await query(empty, f"SELECT to_regclass('{name}') IS NOT NULL"), name


async def test_two_runs_at_once_apply_each_migration_once(empty: TestDatabase) -> None:
    first, second = await asyncio.gather(run(empty), run(empty))
    assert sorted([*first, *second]) == sorted(set(first) | set(second))
    assert await query(empty, "SELECT count(*) FROM migrations") == len(SHIPPED)
    assert [] in (first, second)


async def test_each_run_stores_the_oldest_month_of_the_deployment(empty: TestDatabase) -> None:
    for oldest_month in (202001, None, 201912):
        await migrate(empty.owner_url, service_url=empty.url, oldest_month=oldest_month)
        stored = await query(empty, "SELECT oldest_month FROM partition_window")
        assert stored == oldest_month


async def test_each_run_grants_the_rights_on_the_partitions_of_messages(
    empty: TestDatabase,
) -> None:
    await run(empty)
    month = month_of(datetime.now(UTC))
    rights = f"SELECT has_table_privilege('aftertone', 'messages_{month}', 'UPDATE')"
    assert await query(empty, rights)
    await query(empty, f"REVOKE ALL ON messages_{month} FROM aftertone")
    assert not await query(empty, rights)
    await run(empty)
    assert await query(empty, rights)


async def test_a_changed_file_is_refused_with_a_sentence(empty: TestDatabase) -> None:
    await run(empty)
    changed = msgspec.structs.replace(SHIPPED[0], sql=SHIPPED[0].sql + "\n")
    with pytest.raises(MigrationError) as refusal:
        await run(empty, [changed, *following("CREATE TABLE later (id integer)")[1:]])
    assert str(refusal.value) == f"{changed.name} was changed after it had been applied"
    assert await query(empty, "SELECT to_regclass('later')") is None


async def test_a_failed_migration_is_rolled_back_and_keeps_the_earlier_ones(
    empty: TestDatabase,
) -> None:
    good, bad = "CREATE TABLE good (id integer)", "CREATE TABLE half (id integer); SELECT 1 / 0"
    with pytest.raises(MigrationError, match=r"^\d{4}_expand_more: division by zero$"):
        await run(empty, following(good, bad))
    assert await query(empty, "SELECT to_regclass('good') IS NOT NULL")
    assert await query(empty, "SELECT to_regclass('half')") is None
    assert await query(empty, "SELECT count(*) FROM migrations") == len(SHIPPED) + 1

    mended = following(good, "CREATE TABLE half (id integer)")
    assert (await run(empty, mended))[0] == mended[-1].name
    service = await asyncpg.connect(empty.url)
    try:
        assert await service.fetch("SELECT * FROM good, half") == []
    finally:
        await service.close()


async def test_a_migration_that_has_to_wait_for_a_lock_gives_up(empty: TestDatabase) -> None:
    await run(empty)
    holder = await asyncpg.connect(empty.owner_url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE vmboxes IN ACCESS SHARE MODE")
            impatient = "SET LOCAL lock_timeout = '50ms'; ALTER TABLE vmboxes ADD mine integer"
            with pytest.raises(MigrationError, match="lock timeout"):
                await run(empty, following(impatient))
    finally:
        await holder.close()


async def test_an_older_release_leaves_a_newer_database_alone(empty: TestDatabase) -> None:
    await run(empty, following("CREATE TABLE later (id integer)"))
    assert await run(empty) == []
    assert await query(empty, "SELECT to_regclass('later') IS NOT NULL")


@pytest.mark.parametrize(
    "names",
    [
        ["0001_change_a.sql"],
        ["0001_expand_a.sql", "0001_expand_b.sql"],
    ],
)
def test_a_misnamed_file_or_a_used_number_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=names[-1]):
        read_migrations(tmp_path)


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_migrations_is_reported_in_one_sentence(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (tmp_path / "README.md").touch()
    with pytest.raises(MigrationError) as raised:
        read_migrations(folder)
    assert str(raised.value) == f"{folder} contains no migrations; install Aftertone again."


def test_files_are_read_in_the_order_of_their_numbers_with_gaps(tmp_path: Path) -> None:
    for name in ("0003_contract_b.sql", "0001_expand_a.sql"):
        (tmp_path / name).write_text("SELECT 1")
    assert [migration.number for migration in read_migrations(tmp_path)] == [1, 3]


async def test_a_process_that_starts_before_the_migrations_reports_an_outage(
    empty: TestDatabase,
) -> None:
    async with Database.open(empty.url, name="test", size=1, timeout_s=30) as database:
        with pytest.raises(DatabaseUnavailable) as met:
            async with database.connection() as connection:
                await connection.fetchval("SELECT count(*) FROM accounts")
    assert met.value.reason == "UndefinedTableError"


async def test_stored_numbers_lose_the_spaces_around_them(empty: TestDatabase) -> None:
    trimming = next(index for index, each in enumerate(SHIPPED) if each.number == 30)
    await run(empty, SHIPPED[:trimming])
    account, *boxes = (uuid4() for _ in range(8))
    stored = ["4101 ", " 4101", "4102", "\t4102", " 0100 ", " ann", "a b"]
    connection = await asyncpg.connect(empty.owner_url)
    try:
        await connection.executemany(
            "INSERT INTO vmbox_numbers (account_id, number, vmbox_id) VALUES ($1, $2, $3)",
            [(account, number, box) for number, box in zip(stored, boxes, strict=True)],
        )
        await run(empty)
        rows = await connection.fetch("SELECT number FROM vmbox_numbers")
    finally:
        await connection.close()
    numbers = {row["number"] for row in rows}
    assert numbers == {"4101", "4101 ", "4102", "\t4102", "100", "ann", "a b"}
