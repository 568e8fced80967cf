"""Postgres with a standby: reads, the promotion of the standby, and PgBouncer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, nullcontext, suppress

import pytest
import pytest_asyncio

from service.domain.errors import DatabaseUnavailable
from service.embedded.cluster import EmbeddedCluster
from service.postgres.pool import Database, Pooler, PoolerDetected, connect
from service.postgres.standby import PrimaryPosition, StandbyReads
from tests.support.log_scan import folder_with_logs
from tests.support.waiting import wait_until

_COUNT = "SELECT count(*), pg_is_in_recovery() FROM notes"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster() -> AsyncIterator[EmbeddedCluster]:
    """Servers of which only Postgres and PgBouncer run."""
    with folder_with_logs("aftertone-standbys-") as folder:
        cluster = EmbeddedCluster(folder)
        for node in cluster.postgres.nodes:
            node.settings |= {"fsync": "off", "full_page_writes": "off"}
        try:
            await cluster.postgres.start()
            await cluster.postgres.psql("CREATE TABLE notes (text text)", role="aftertone_owner")
            yield cluster
        finally:
            await cluster.kill()


def open_database(url: str, pooler: Pooler = Pooler.NONE) -> AbstractAsyncContextManager[Database]:
    return Database.open(url, size=4, timeout_s=2, name="test", pooler=pooler)


async def test_a_read_sees_writes_that_the_standby_does_not_show_yet(
    cluster: EmbeddedCluster,
) -> None:
    pair = cluster.postgres
    async with (
        open_database(pair.url()) as primary,
        open_database(pair.url(target="standby")) as standby,
    ):
        reads = StandbyReads(primary, standby, PrimaryPosition(primary))

        async def count_notes() -> tuple[int, bool]:
            async with reads.connection() as connection:
                [row] = await connection.fetch(_COUNT)
            return row[0], row[1]

        async def is_from_standby() -> bool:
            return (await count_notes())[1]

        await wait_until(is_from_standby)
        number, _ = await count_notes()
        await pair.standby.psql("SELECT pg_wal_replay_pause()", database="postgres")
        for written in range(1, 4):
            async with primary.connection() as connection:
                await connection.execute("INSERT INTO notes VALUES ($1)", "a note")
            assert await count_notes() == (number + written, False)
        await pair.standby.psql("SELECT pg_wal_replay_resume()", database="postgres")
        await wait_until(is_from_standby)
        assert (await count_notes())[0] == number + 3


@pytest.mark.parametrize("frozen", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_a_pool_uses_the_new_primary(cluster: EmbeddedCluster, frozen: bool) -> None:
    pair = cluster.postgres
    if not pair.standby.alive:
        await pair.rebuild_standby()
    async with open_database(pair.url()) as database:

        async def is_written() -> bool:
            with suppress(DatabaseUnavailable):
                async with database.connection() as connection:
                    await connection.execute("INSERT INTO notes VALUES ($1)", "kept")
                return True
            return False

        assert all(await asyncio.gather(*(is_written() for _ in range(4))))
        if frozen:
            pair.primary.suspend()
        else:
            await pair.primary.kill()
        await pair.promote()
        await wait_until(is_written)
        async with database.connection() as connection:
            acknowledged = await connection.fetchval("SELECT count(*) FROM notes WHERE text='kept'")
    assert acknowledged >= 5


@pytest.mark.parametrize("pooler", [Pooler.PREPARED, Pooler.UNPREPARED])
async def test_pgbouncer_serves_statements_and_is_detected(
    cluster: EmbeddedCluster, pooler: Pooler
) -> None:
    if cluster.pgbouncer is None:
        pytest.skip("PgBouncer is not installed")
    await cluster.pgbouncer.start()
    url = cluster.pgbouncer.url("aftertone_owner")
    refuses = pooler is Pooler.PREPARED and not cluster.pgbouncer.prepares
    refused = pytest.raises(DatabaseUnavailable, check=lambda error: "=unprepared" in error.reason)

    async with open_database(url, pooler) as database:

        async def add(number: int) -> int:
            async with database.connection() as connection:
                result: int = await connection.fetchval("SELECT $1::int + 1", number)
                return result

        with refused if refuses else nullcontext():
            assert await asyncio.gather(*map(add, range(50))) == list(range(1, 51))

    with pytest.raises(PoolerDetected):
        await connect(url, name="test", timeout_s=5)
