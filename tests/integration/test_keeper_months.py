"""Old months: dropped when they have no messages, with their objects, and nothing is lost."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest
from click.testing import CliRunner

from service.__main__ import cli
from service.audio.keys import greeting_key
from service.audio.store import AudioStore
from service.domain.errors import DatabaseUnavailable
from service.domain.message import MessageId, month_after, month_of
from service.domain.retention import Retention
from service.postgres import messages as rows
from service.postgres.keeper import StoredObject, find_orphans
from service.postgres.months import ensure_ahead, ensure_month
from service.postgres.old_partitions import drop_detached_month, list_message_months
from service.postgres.pool import Connection, Database, MissingPartition
from service.usecases.partitions import with_partitions
from service.workers.keeper import StepProgress
from service.workers.keeper.months import DropResult, Months, MonthStatus
from tests.support.builders import NOW, Box, a_draft, a_vmbox, some_audio, stored
from tests.support.database import TestDatabase
from tests.support.forked import run_command
from tests.support.keeper import in_days, key_of, keys_in, put
from tests.support.running import RunningService

THEN = datetime(2012, 7, 4, tzinfo=UTC)
MONTH, OTHER = 201207, 201208
GRACE = timedelta(days=1)
RETENTION = Retention(message_days=30, deleted_days=30)


def months(owner: Database, bucket: AudioStore, days: float = 2) -> Months:
    return Months(owner, bucket, in_days(days), RETENTION, trash_days=7, orphan_grace=GRACE)


async def kept(connection: Connection, bucket: AudioStore, box: Box) -> rows.MessageKey:
    """Stores a message of 2012 with its audio."""
    message_id = MessageId.generate(THEN, NOW)
    key = key_of(box.place(message_id))
    await put(bucket, key)
    audio = some_audio(key=key)
    return await stored(connection, box, id=message_id, received_at=THEN, audio=audio)


async def tables(inspector: asyncpg.Connection) -> set[int]:
    found = await inspector.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^messages_[0-9]+$'"
    )
    return {int(row["relname"].removeprefix("messages_")) for row in found}


async def test_a_month_is_dropped_with_its_objects_when_its_last_message_is_purged(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    await ensure_ahead(inspector, NOW)
    ahead = await tables(inspector)
    for month in (MONTH, OTHER, month_after(month_of(NOW), -5)):
        await ensure_month(inspector, month)
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        place = await kept(connection, bucket, box)
        leftover = key_of(place)
        greeting = greeting_key(box.account_id, box.vmbox_id, box.vmbox_id, "mp3")
        await put(bucket, leftover, greeting)
        await rows.remove_message(connection, place, reason="api")
    for dropped, is_purged in ((2, False), (0, False), (1, True)):
        if is_purged:
            await inspector.execute("DELETE FROM messages")
        done = await months(owner, bucket).run(StepProgress())
        assert done["months_dropped"] == dropped
    assert (await tables(inspector), await keys_in(bucket)) == (ahead, [greeting])
    assert done == {
        "months_dropped": 1,
        "months_kept": 0,
        "objects_deleted": 2,
        "months_overdue": 0,
    }


async def test_a_message_stored_during_the_drop_keeps_its_month(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    """The message comes after the check and before the partition is detached."""
    await ensure_month(inspector, MONTH)
    async with owner.connection() as connection:
        [month] = await list_message_months(connection, (THEN + timedelta(days=40)).date())
        place = await kept(connection, bucket, await a_vmbox(connection))
        assert not await drop_detached_month(connection, month)
        await rows.get_message(connection, place)
        assert (await months(owner, bucket).drop([MONTH])) == {MONTH: DropResult.KEPT}
        await months(owner, bucket, days=3).run(StepProgress())
    assert len(await keys_in(bucket)) == 1


@pytest.mark.parametrize("is_wanted", [False, True])
async def test_a_drop_killed_after_the_detachment_is_continued_by_the_next_run(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection, is_wanted: bool
) -> None:
    await ensure_month(inspector, MONTH)
    await inspector.execute(f"ALTER TABLE messages DETACH PARTITION messages_{MONTH} CONCURRENTLY")
    [usage] = [
        u for u in await months(owner, bucket).list_usage(StepProgress()) if u.month < 201301
    ]
    assert usage.status is MonthStatus.INTERRUPTED
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        if is_wanted:
            with pytest.raises(MissingPartition):
                async with owner.connection() as other:
                    await stored(other, box, received_at=THEN)
            assert await ensure_month(connection, MONTH)
            await stored(connection, box, received_at=THEN)
    done = await months(owner, bucket).run(StepProgress())
    assert (done["months_dropped"], MONTH in await tables(inspector)) == (
        (0, True) if is_wanted else (1, False)
    )


async def test_an_interrupted_drop_is_completed_after_the_retention_was_extended(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection
) -> None:
    """Postgres detaches one partition at a time, so the month would block all later drops."""
    recent = month_after(month_of(NOW), -1)
    await ensure_month(inspector, MONTH)
    await inspector.execute(f"ALTER TABLE messages DETACH PARTITION messages_{recent}")
    assert (await months(owner, bucket).run(StepProgress()))["months_dropped"] == 2
    async with owner.connection() as connection:
        assert await ensure_month(connection, recent)


async def test_objects_of_a_detached_month_are_not_orphans(
    owner: Database, inspector: asyncpg.Connection
) -> None:
    await ensure_month(inspector, MONTH)
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        place = await stored(connection, box, received_at=THEN)
        owned = StoredObject(key="x", account_id=box.account_id, owner_id=place.message_id.id)
        assert await find_orphans(connection, MONTH, [owned]) == ["x"]
        await inspector.execute(f"ALTER TABLE messages DETACH PARTITION messages_{MONTH}")
        assert await find_orphans(connection, MONTH, [owned]) == []
        await inspector.execute(f"DROP TABLE messages_{MONTH}")
        assert await find_orphans(connection, MONTH, [owned]) == ["x"]


async def test_a_drop_waits_for_a_transaction_and_is_overdue_meanwhile(
    test_database: TestDatabase,
    owner: Database,
    bucket: AudioStore,
    inspector: asyncpg.Connection,
) -> None:
    await ensure_month(inspector, MONTH)
    url = test_database.owner_url
    async with (
        Database.open(url, size=2, timeout_s=1, name="test") as hurried,
        inspector.transaction(),
    ):
        await inspector.fetch("SELECT FROM messages LIMIT 1")
        done = await months(hurried, bucket).run(StepProgress())
        assert (done["months_dropped"], done["months_overdue"]) == (0, 1)
        async with owner.connection() as connection:
            await stored(connection, await a_vmbox(connection))
            assert await ensure_month(connection, OTHER)
    done = await months(owner, bucket).run(StepProgress())
    assert (done["months_dropped"], done["months_overdue"]) == (2, 0)


@pytest.mark.parametrize(
    ("change", "overdue"),
    [
        ("", 0),
        ("UPDATE messages SET changed_at = now() - interval '1 day'", 1),
        ("UPDATE messages SET removed_at = now(), changed_at = now() - interval '1 day'", 0),
        ("UPDATE messages SET removed_at = now() - interval '8 days'", 0),
        (
            "UPDATE messages SET removed_at = now() - interval '8 days',"
            " changed_at = now() - interval '8 days'",
            1,
        ),
        (
            "UPDATE messages SET removed_at = now() - interval '8 days',"
            " changed_at = now() - interval '8 days'; INSERT INTO holds"
            " (account_id, hold_id, name, reason) SELECT account_id, id, '', '' FROM messages",
            0,
        ),
    ],
    ids=["just stored", "not expired", "in the trash", "box emptied", "not purged", "held"],
)
async def test_a_month_is_overdue_when_its_messages_should_be_gone(
    owner: Database, bucket: AudioStore, inspector: asyncpg.Connection, change: str, overdue: int
) -> None:
    await ensure_month(inspector, MONTH)
    async with owner.connection() as connection:
        await stored(connection, await a_vmbox(connection), received_at=THEN)
    if change:
        await inspector.execute(change)
    done = await months(owner, bucket, days=1.5).run(StepProgress())
    assert (done["months_kept"], done["months_overdue"]) == (1, overdue)
    [usage, *_] = await months(owner, bucket).list_usage(StepProgress())
    assert (usage.month, usage.status, usage.is_held) == (
        MONTH,
        MonthStatus.KEPT,
        "INTO holds" in change,
    )


@pytest.mark.long
async def test_months_that_two_keepers_drop_while_messages_are_stored_lose_none(
    owner: Database, bucket: AudioStore
) -> None:
    """Stores into an old month as the API does, while two keepers drop it again and again."""
    stop = asyncio.Event()
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
    drafts = [a_draft(received_at=THEN) for _ in range(20)]

    async def drop() -> None:
        while not stop.is_set():
            await months(owner, bucket).drop([])

    async def store() -> None:
        for draft in drafts:
            while True:
                try:
                    await store_and_remove(owner, box, draft)
                except DatabaseUnavailable:
                    continue
                break
        stop.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(drop())
        group.create_task(store())


async def store_and_remove(owner: Database, box: Box, draft: rows.Draft) -> None:
    """Stores and purges a message, so that its month can be dropped again."""

    async def insert(connection: Connection) -> None:
        await rows.insert_message(
            connection, box.account_id, box.vmbox_id, draft, max_message_count=None
        )

    await with_partitions(owner, MONTH, NOW, insert)
    async with owner.connection() as connection:
        # While the drop has detached the partition, the message is not found. It comes back.
        while await connection.execute("DELETE FROM messages WHERE id = $1", draft.id.id) != (
            "DELETE 1"
        ):
            await ensure_month(connection, MONTH)


async def by_hand(service: RunningService, *arguments: str) -> tuple[int, str]:
    """Runs `aftertone months`. Returns exit code and output."""
    finished = await run_command(service.environment, "months", *arguments)
    return finished.code, finished.stdout


@pytest.mark.long
async def test_months_are_created_listed_and_dropped_by_hand(service: RunningService) -> None:
    code, printed = await by_hand(service, "ensure", "201301-201303")
    assert (code, printed.splitlines()) == (
        0,
        [f"created messages of {month}" for month in (201301, 201302, 201303)],
    )
    code, printed = await by_hand(service, "list", "--json")
    usages = {usage["month"]: usage for usage in msgspec.json.decode(printed)}
    assert (code, usages[201302]["status"], usages[201302]["messages"]) == (0, "empty", 0)
    assert usages[month_of(NOW)]["status"] == "in use"
    assert usages[201302]["table_bytes"] > 0
    current = str(month_of(NOW))
    code, printed = await by_hand(service, "drop", "201301-201302", "201306", current)
    assert code == 3
    assert [line.split("  ")[1].split(":")[0] for line in printed.splitlines()[:-1]] == [
        "dropped",
        "dropped",
        "not found",
        "not dropped",
    ]
    code, printed = await by_hand(service, "drop", "201303", "--json")
    assert (code, msgspec.json.decode(printed)["months"]) == (0, {"201303": "dropped"})


@pytest.mark.parametrize("month", ["2012", "201213", "201200", "201201-2012", "x"])
def test_a_month_in_another_format_is_refused(month: str) -> None:
    answer = CliRunner().invoke(cli, ["months", "drop", month])
    assert answer.exit_code == 2
    assert "is not a month YYYYMM" in answer.output
