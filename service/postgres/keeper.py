"""What the keeper reads and writes, as the owner; one function per statement of keeper.sql."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

import asyncpg
import msgspec

from service.postgres.pool import Connection, connect, translated_errors
from service.postgres.sql import load

_SQL = load("keeper")

# What Postgres says of a partition that another session detaches or drops at the same time.
_TAKEN = (asyncpg.ObjectNotInPrerequisiteStateError, asyncpg.UndefinedTableError)


class BoxKey(msgspec.Struct, frozen=True):
    """Which box."""

    account_id: UUID
    vmbox_id: UUID


class CountsWrong(Exception):
    """The counts of a box are lower than the messages that were to be taken from them."""


class DayState(StrEnum):
    """How far the drop of a day has come."""

    ATTACHED = "attached"
    DETACHING = "detaching"
    DETACHED = "detached"


class OutboxDay(msgspec.Struct, frozen=True, kw_only=True):
    """The partition of a day, and the statements that end it."""

    day: date
    state: DayState
    detach: str
    finalize: str
    drop: str


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object by its key, and the message or greeting whose audio it says it is."""

    key: str
    account_id: UUID
    owner_id: UUID


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What the counts of a box stored, and what they are: new, saved, waiting for audio."""

    stored: tuple[int, int, int]
    counted: tuple[int, int, int]


@asynccontextmanager
async def step_lock(url: str, step: str, timeout_s: float) -> AsyncIterator[bool]:
    """Whether this is the only keeper at `step`, until the block is left.

    It saves work and is no safeguard: should it be lost, two keepers at once do no harm.
    """
    connection = await connect(url, name=f"aftertone keeper {step}", timeout_s=timeout_s)
    try:
        with translated_errors():
            taken: bool = await connection.fetchval(_SQL["try_step"], step)
        yield taken
    finally:
        connection.terminate()


async def last_finished(connection: Connection, step: str) -> datetime | None:
    """When a step last ran to its end."""
    finished_at: datetime | None = await connection.fetchval(_SQL["last_finished"], step)
    return finished_at


async def note_finished(
    connection: Connection, step: str, at: datetime, done: Mapping[str, int]
) -> None:
    """Notes that a step has run to its end, and how many of what it did."""
    await connection.execute(_SQL["note_finished"], step, at, dict(done))


async def list_months(connection: Connection) -> list[int]:
    """The months that have a partition, oldest first."""
    return [row["month"] for row in await connection.fetch(_SQL["list_months"])]


async def list_expired(
    connection: Connection, month: int, before: datetime, limit: int
) -> list[BoxKey]:
    """The boxes of the oldest `limit` messages of a month that were received before."""
    return _boxes(await connection.fetch(_SQL["list_expired"], month, before, limit))


async def expire_messages(
    connection: Connection, box: BoxKey, month: int, before: datetime, limit: int
) -> int:
    """Removes messages of a box that were received before; how many. Raises CountsWrong."""
    return await _taken_from_counts(
        connection, "expire_messages", box.account_id, box.vmbox_id, month, before, limit
    )


async def list_abandoned(
    connection: Connection, month: int, before: datetime, limit: int
) -> list[BoxKey]:
    """The boxes of the oldest `limit` messages of a month that wait for audio since before."""
    return _boxes(await connection.fetch(_SQL["list_abandoned"], month, before, limit))


async def drop_abandoned(connection: Connection, box: BoxKey, month: int, before: datetime) -> int:
    """Removes messages of a box that wait for audio since before; how many. Raises CountsWrong."""
    return await _taken_from_counts(
        connection, "drop_abandoned", box.account_id, box.vmbox_id, month, before
    )


async def list_boxes_to_empty(connection: Connection, limit: int) -> list[BoxKey]:
    """Deleted boxes that may still hold messages."""
    return _boxes(await connection.fetch(_SQL["list_boxes_to_empty"], limit))


async def empty_box(connection: Connection, box: BoxKey, limit: int) -> int:
    """Removes messages of a deleted box; fewer than `limit` were its last."""
    removed: int = await connection.fetchval(_SQL["empty_box"], box.account_id, box.vmbox_id, limit)
    return removed


async def purge_messages(
    connection: Connection, month: int, before: datetime, limit: int
) -> list[str | None]:
    """Deletes rows that were removed before; the audio key of each."""
    rows = await connection.fetch(_SQL["purge_messages"], month, before, limit)
    return [row["audio_key"] for row in rows]


async def purge_boxes(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes boxes that were emptied before, and none while messages removed before are left."""
    return len(await connection.fetch(_SQL["purge_boxes"], before, limit))


async def find_orphans(
    connection: Connection, month: int, objects: Sequence[StoredObject]
) -> list[str]:
    """The keys that no message of the month points at."""
    rows = await connection.fetch(
        _SQL["find_orphans"],
        month,
        [item.account_id for item in objects],
        [item.owner_id for item in objects],
        [item.key for item in objects],
    )
    return [row["key"] for row in rows]


async def find_media_orphans(connection: Connection, objects: Sequence[StoredObject]) -> list[str]:
    """The keys that no greeting points at."""
    rows = await connection.fetch(
        _SQL["find_media_orphans"],
        [item.account_id for item in objects],
        [item.owner_id for item in objects],
        [item.key for item in objects],
    )
    return [row["key"] for row in rows]


async def count_boxes(connection: Connection) -> int:
    """How many boxes there are."""
    number: int = await connection.fetchval(_SQL["count_boxes"])
    return number


async def recount_boxes(
    connection: Connection, after: BoxKey, *, boxes: int, messages: int
) -> list[tuple[BoxKey, bool]]:
    """The next boxes, so many or until they hold so many messages; whether each has drifted."""
    rows = await connection.fetch(
        _SQL["recount_boxes"], after.account_id, after.vmbox_id, boxes, messages
    )
    return [(BoxKey(row["account_id"], row["vmbox_id"]), row["drifted"]) for row in rows]


async def lock_box(connection: Connection, box: BoxKey) -> bool:
    """Locks a living box until the transaction ends; false when there is none."""
    return bool(await connection.fetchval(_SQL["lock_box"], box.account_id, box.vmbox_id))


async def repair_counts(connection: Connection, box: BoxKey) -> Drift | None:
    """Makes a locked box's counts right and tells its subscribers; None when they were."""
    row = await connection.fetchrow(_SQL["repair_counts"], box.account_id, box.vmbox_id)
    if row is None:
        return None
    return Drift(
        stored=(row["new_before"], row["saved_before"], row["pending_before"]),
        counted=(row["new_count"], row["saved_count"], row["pending_count"]),
    )


async def list_outbox_days(connection: Connection, before: date) -> list[OutboxDay]:
    """The days of the outbox before, oldest first, with those whose drop was cut short."""
    rows = await connection.fetch(_SQL["list_outbox_days"], before)
    return [OutboxDay(**{**row, "state": DayState(row["state"])}) for row in rows]


async def is_spent(connection: Connection, day: date, published_before: datetime) -> bool:
    """Whether all of a day was sent, and published before."""
    spent: bool = await connection.fetchval(_SQL["is_spent"], day, published_before)
    return spent


async def drop_outbox_day(connection: Connection, day: OutboxDay) -> bool:
    """Drops a day without holding anybody up; false when it has to wait.

    Outside of any transaction: detaching is two of its own, and lets those that use the outbox
    finish in between. It waits for a long one no longer than the statement may take, and a later
    call goes on from there.
    """
    try:
        match day.state:
            case DayState.ATTACHED:
                await connection.execute(day.detach)
            case DayState.DETACHING:
                await connection.execute(day.finalize)
            case DayState.DETACHED:
                pass
        await connection.execute(day.drop)
    except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError, *_TAKEN):
        return False
    return True


async def delete_expired_tokens(connection: Connection, before: datetime, limit: int) -> int:
    """Forgets revoked tokens that expired before; how many."""
    done = await connection.execute(_SQL["delete_expired_tokens"], before, limit)
    return int(done.rpartition(" ")[2])


async def delete_old_claims(connection: Connection, before: datetime, limit: int) -> int:
    """Forgets idempotency keys from before; how many."""
    done = await connection.execute(_SQL["delete_old_claims"], before, limit)
    return int(done.rpartition(" ")[2])


def _boxes(rows: Sequence[asyncpg.Record]) -> list[BoxKey]:
    return [BoxKey(row["account_id"], row["vmbox_id"]) for row in rows]


async def _taken_from_counts(connection: Connection, name: str, *arguments: object) -> int:
    try:
        removed: int = await connection.fetchval(_SQL[name], *arguments)
    except asyncpg.CheckViolationError as error:
        if (error.constraint_name or "").endswith("_count_is_not_negative"):
            raise CountsWrong from error
        raise
    return removed
