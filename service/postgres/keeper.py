"""Statements of the keeper, run as the owner: one function per statement of keeper.sql."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from service.postgres.audit import event_values
from service.postgres.pool import Connection, connect, translated_errors
from service.postgres.sql import Statement, load

_SQL = load("keeper")


class BoxKey(msgspec.Struct, frozen=True):
    """Key of a box."""

    account_id: UUID
    vmbox_id: UUID

    def values(self) -> dict[str, Any]:
        """Returns the parameters that select the box."""
        return {"account_id": self.account_id, "vmbox_id": self.vmbox_id}


class CountsTooLow(Exception):
    """The counts of a box are lower than the number of messages to be removed."""


class StoredObject(msgspec.Struct, frozen=True, kw_only=True):
    """Audio object, and the message or greeting that its key contains.

    `original` is the key of the original if the object is a rendition.
    """

    key: str
    account_id: UUID
    owner_id: UUID
    original: str | None = None


class PurgedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Audio key of a deleted message, and the time of its removal."""

    audio_key: str | None
    removed_at: datetime


class RecountedBox(msgspec.Struct, frozen=True):
    """Box, and flags that its counts or its stored bytes differ from its messages."""

    key: BoxKey
    has_drifted: bool
    have_bytes_drifted: bool


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a box before and after a repair: new, saved, pending."""

    stored: tuple[int, int, int]
    counted: tuple[int, int, int]


@asynccontextmanager
async def step_lock(url: str, step: str, timeout_s: float) -> AsyncIterator[bool]:
    """Locks `step` while the block runs. Yields False when another keeper has the lock.

    The lock only saves work: when it is lost, two keepers at once do no harm.
    """
    connection = await connect(url, name=f"aftertone keeper {step}", timeout_s=timeout_s)
    try:
        with translated_errors():
            locked: bool = await _SQL["try_lock_step"].fetchval(connection, step=step)
        yield locked
    finally:
        connection.terminate()


async def get_last_run(connection: Connection, step: str) -> datetime | None:
    """Returns the time at which a step last completed."""
    finished_at: datetime | None = await _SQL["get_last_run"].fetchval(connection, step=step)
    return finished_at


async def record_run(
    connection: Connection, step: str, at: datetime, done: Mapping[str, int]
) -> None:
    """Records that a step has completed, and its counters."""
    await _SQL["record_run"].execute(connection, step=step, finished_at=at, done=dict(done))


async def list_months(connection: Connection) -> list[int]:
    """Returns the months that have a partition, oldest first."""
    return [row["month"] for row in await _SQL["list_months"].fetch(connection)]


async def list_abandoned(
    connection: Connection, month: int, before: datetime, limit: int
) -> list[BoxKey]:
    """Returns the boxes of the oldest `limit` messages of a month pending since before `before`."""
    return _boxes(
        await _SQL["list_abandoned"].fetch(connection, month=month, before=before, limit=limit)
    )


async def remove_abandoned(
    connection: Connection, box: BoxKey, month: int, before: datetime
) -> int:
    """Removes messages of a box that are pending since before `before`. Returns their number.

    Raises CountsTooLow.
    """
    return await remove_counted(
        connection,
        _SQL["remove_abandoned"],
        **box.values(),
        month=month,
        before=before,
        **event_values(),
    )


async def list_boxes_to_empty(
    connection: Connection, before: datetime, times: Mapping[UUID, datetime], limit: int
) -> list[BoxKey]:
    """Returns boxes that may have messages and were deleted before `before`.

    In the accounts of `times`, the time of the account applies.
    """
    rows = await _SQL["list_boxes_to_empty"].fetch(
        connection,
        before=before,
        account_ids=list(times),
        times=list(times.values()),
        limit=limit,
    )
    return _boxes(rows)


async def empty_box(connection: Connection, box: BoxKey, before: datetime, limit: int) -> int:
    """Removes messages of a box that was deleted before `before`. Returns their number.

    A result below `limit` means that none are left.
    """
    removed: int = await _SQL["empty_box"].fetchval(
        connection, **box.values(), before=before, limit=limit
    )
    return removed


async def list_trash_days(connection: Connection) -> dict[UUID, int]:
    """Returns the accounts that have their own `trash_days`."""
    rows = await _SQL["list_trash_days"].fetch(connection)
    return {row["account_id"]: row["trash_days"] for row in rows}


async def purge_messages(
    connection: Connection,
    month: int,
    before: datetime,
    limit: int,
    since: datetime = datetime(1970, 1, 1, tzinfo=UTC),
    skipped_ids: Collection[UUID] = (),
) -> list[PurgedMessage]:
    """Deletes messages that were removed from `since` to before `before`.

    Skips the accounts `skipped_ids`.
    """
    rows = await _SQL["purge_messages"].fetch(
        connection,
        month=month,
        since=since,
        before=before,
        limit=limit,
        skipped_ids=list(skipped_ids),
    )
    return [PurgedMessage(**row) for row in rows]


async def purge_messages_of_accounts(
    connection: Connection, month: int, times: Mapping[UUID, datetime], limit: int
) -> list[PurgedMessage]:
    """Deletes messages of accounts that were removed before the time of their account."""
    rows = await _SQL["purge_messages_of_accounts"].fetch(
        connection, month=month, account_ids=list(times), times=list(times.values()), limit=limit
    )
    return [PurgedMessage(**row) for row in rows]


async def purge_boxes(connection: Connection, limit: int) -> int:
    """Deletes emptied boxes without messages. Returns their number."""
    return len(await _SQL["purge_boxes"].fetch(connection, limit=limit))


async def list_deleted_accounts(
    connection: Connection, before: datetime, after: tuple[datetime, UUID], limit: int
) -> list[tuple[datetime, UUID]]:
    """Returns time and id of accounts deleted before `before`, in this order, after `after`."""
    deleted_at, account_id = after
    accounts = await _SQL["list_deleted_accounts"].fetch(
        connection,
        before=before,
        after_deleted_at=deleted_at,
        after_account_id=account_id,
        limit=limit,
    )
    return [(row["deleted_at"], row["account_id"]) for row in accounts]


async def purge_mail(connection: Connection, account_ids: Sequence[UUID], limit: int) -> int:
    """Deletes mail rates and recipients of accounts. Returns the number of recipients."""
    return len(await _SQL["purge_mail"].fetch(connection, account_ids=account_ids, limit=limit))


async def find_orphans(
    connection: Connection, month: int, objects: Sequence[StoredObject]
) -> list[str]:
    """Returns the keys of objects, also of renditions, that no message of the month refers to."""
    rows = await _SQL["find_orphans"].fetch(connection, month=month, **_object_values(objects))
    return [row["key"] for row in rows]


async def find_media_orphans(connection: Connection, objects: Sequence[StoredObject]) -> list[str]:
    """Returns the keys that no greeting refers to."""
    rows = await _SQL["find_media_orphans"].fetch(connection, **_object_values(objects))
    return [row["key"] for row in rows]


async def count_boxes(connection: Connection) -> int:
    """Returns the number of boxes that are not deleted."""
    number: int = await _SQL["count_boxes"].fetchval(connection)
    return number


async def recount_boxes(
    connection: Connection, after: BoxKey, *, boxes: int, messages: int
) -> list[RecountedBox]:
    """Returns the next boxes, compared with their messages.

    Stops after `boxes` boxes, or when they hold `messages` messages.
    """
    rows = await _SQL["recount_boxes"].fetch(
        connection,
        after_account_id=after.account_id,
        after_vmbox_id=after.vmbox_id,
        max_boxes=boxes,
        max_messages=messages,
    )
    return [
        RecountedBox(
            BoxKey(row["account_id"], row["vmbox_id"]), row["drifted"], row["bytes_drifted"]
        )
        for row in rows
    ]


async def lock_box(connection: Connection, box: BoxKey) -> bool:
    """Locks a box until the transaction ends. Returns False when it was deleted."""
    return bool(await _SQL["lock_box"].fetchval(connection, **box.values()))


async def repair_counts(connection: Connection, box: BoxKey) -> Drift | None:
    """Corrects the counts of a locked box and appends the event. Returns None without drift."""
    row = await _SQL["repair_counts"].fetchrow(connection, **box.values(), **event_values())
    if row is None:
        return None
    return Drift(
        stored=(row["new_before"], row["saved_before"], row["pending_before"]),
        counted=(row["new_count"], row["saved_count"], row["pending_count"]),
    )


async def set_box_bytes(connection: Connection, box: BoxKey) -> None:
    """Sets the stored bytes of a locked box to those of its messages."""
    await _SQL["set_box_bytes"].execute(connection, **box.values())


async def list_account_ids(connection: Connection, after: UUID, limit: int) -> list[UUID]:
    """Returns the next accounts by id."""
    rows = await _SQL["list_account_ids"].fetch(connection, after_account_id=after, limit=limit)
    return [row["account_id"] for row in rows]


async def correct_account_bytes(connection: Connection, account_id: UUID) -> None:
    """Corrects the stored bytes of an account. Needs a transaction."""
    await _SQL["lock_account_bytes"].execute(connection, account_id=account_id)
    await _SQL["correct_account_bytes"].execute(connection, account_id=account_id)


async def delete_expired_tokens(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes revoked tokens that expired before `before`. Returns their number."""
    return await _SQL["delete_expired_tokens"].execute(connection, before=before, limit=limit)


async def delete_old_claims(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes idempotency keys older than `before`. Returns their number."""
    return await _SQL["delete_old_claims"].execute(connection, before=before, limit=limit)


def _boxes(rows: Sequence[asyncpg.Record]) -> list[BoxKey]:
    return [BoxKey(row["account_id"], row["vmbox_id"]) for row in rows]


def _object_values(objects: Sequence[StoredObject]) -> dict[str, Any]:
    return {
        "account_ids": [item.account_id for item in objects],
        "owner_ids": [item.owner_id for item in objects],
        "keys": [item.key for item in objects],
        "originals": [item.original for item in objects],
    }


async def remove_counted(connection: Connection, statement: Statement, **values: Any) -> int:
    """Runs a statement that removes messages of a box, and returns its result.

    Raises CountsTooLow.
    """
    try:
        removed: int = await statement.fetchval(connection, **values)
    except asyncpg.CheckViolationError as error:
        if (error.constraint_name or "").endswith("_count_is_not_negative"):
            raise CountsTooLow from error
        raise
    return removed
