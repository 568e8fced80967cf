"""Use cases of the audit: record requests that change no row, and list records."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from cachetools import TTLCache

from service.domain.audit import (
    Action,
    Actor,
    AuditCursor,
    AuditFilter,
    AuditRecord,
    Result,
    current_actor,
)
from service.domain.clock import utc_now
from service.domain.errors import DatabaseUnavailable
from service.domain.message import LAST_ID, MessageId, month_of, uuid7
from service.domain.page import Page
from service.logs import get_logger
from service.metrics import AUDIT_RECORDS_DROPPED
from service.postgres import audit as rows
from service.postgres.accounts import get_root_id
from service.postgres.months import ensure_audit_month
from service.postgres.pool import Connection, Database, MissingPartition
from service.postgres.standby import Reads
from service.usecases.pages import CHUNK, iterate_pages

log = get_logger(__name__)

FLUSH_S = 0.5
_MINUTE_S = 60
# Maximum number of records that a page reads. It bounds the cost of a filter with few matches.
SCAN_LIMIT = 5_000
_FIRST_ID = UUID(int=0)
_UNKNOWN_ACCOUNT = UUID(int=0)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class AuditQueue:
    """Records of refused requests, sign-ins and readings, written in batches every half second.

    While the database is unavailable, records wait in memory: at most `max_records` in all, and
    `max_per_account` of one account. One peer can cause at most `max_refusals` records of refused
    requests per minute and account; otherwise a client without a token could fill the database.
    Further records are dropped and counted.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = utc_now,
        *,
        max_records: int = 5_000,
        max_per_account: int = 1_000,
        max_refusals: int = 100,
    ) -> None:
        self._clock = clock
        self._max_records = max_records
        self._max_per_account = max_per_account
        self._max_refusals = max_refusals
        self._refusals: TTLCache[tuple[UUID, str | None], list[int]] = TTLCache(10_000, _MINUTE_S)
        self._waiting: list[AuditRecord] = []
        self._per_account: Counter[UUID] = Counter()

    def record(
        self,
        action: Action,
        account_id: UUID | None,
        result: Result = Result.SUCCESS,
        *,
        actor: Actor | None = None,
        vmbox_id: UUID | None = None,
        message_id: MessageId | None = None,
        target: str | None = None,
    ) -> None:
        """Records an action of the current actor, or of `actor`.

        Without `account_id` the record belongs to the root account.
        """
        account_id = account_id or _UNKNOWN_ACCOUNT
        now, actor = self._clock(), actor or current_actor()
        if self._is_full(account_id) or not self._admit(account_id, actor.peer, result):
            AUDIT_RECORDS_DROPPED.inc()
            return
        self._per_account[account_id] += 1
        self._waiting.append(
            AuditRecord(
                account_id=account_id,
                at=now,
                id=uuid7(now),
                action=action,
                result=result,
                principal=actor.principal,
                principal_id=actor.principal_id,
                credential_id=actor.credential_id,
                peer=actor.peer,
                request_id=actor.request_id,
                vmbox_id=vmbox_id,
                message_id=message_id,
                target=target,
            )
        )

    def _is_full(self, account_id: UUID) -> bool:
        is_full = len(self._waiting) >= self._max_records
        return is_full or self._per_account[account_id] >= self._max_per_account

    def _admit(self, account_id: UUID, peer: str | None, result: Result) -> bool:
        """Counts a refusal; returns False beyond the limit of its peer."""
        if result is Result.SUCCESS:
            return True
        # A list, so that counting does not extend the minute of the entry.
        count = self._refusals.setdefault((account_id, peer), [0])
        count[0] += 1
        return count[0] <= self._max_refusals

    @asynccontextmanager
    async def write_in_background(self, database: Database) -> AsyncIterator["AuditQueue"]:
        """Writes the records in the background. The end of the block writes the last ones."""
        task = asyncio.create_task(self._write_repeatedly(database), name="audit")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self.flush(database)
            AUDIT_RECORDS_DROPPED.inc(len(self._waiting))

    async def flush(self, database: Database) -> None:
        """Writes all records that wait. When the database is unavailable they continue to wait."""
        # A copy: records may be added during the write.
        batch = list(self._waiting)
        if not batch:
            return
        try:
            await _write(database, batch)
        except DatabaseUnavailable as error:
            log.warning("audit records delayed", records=len(batch), reason=error.reason)
            return
        self._waiting = self._waiting[len(batch) :]
        self._per_account = Counter(record.account_id for record in self._waiting)

    async def _write_repeatedly(self, database: Database) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush(database)
            except Exception:
                # The records stay in the queue, which is bounded.
                log.exception("audit write failed")


@dataclass(frozen=True)
class Audit:
    """Use cases of the audit of an account."""

    database: Reads
    queue: AuditQueue

    async def list(
        self,
        account_id: UUID,
        selection: AuditFilter,
        start: AuditCursor | None,
        limit: int,
        *,
        ascending: bool = False,
    ) -> Page[AuditRecord, AuditCursor]:
        """Returns a page of records, newest first unless `ascending`.

        With a filter, a page may have fewer records than `limit`, and still a next page.
        """
        since = selection.since or _EARLIEST
        until = selection.until or utc_now()
        first = AuditCursor(since, _FIRST_ID) if ascending else AuditCursor(until, LAST_ID)
        async with self.database.connection() as connection:
            scan = await rows.list_records(
                connection,
                account_id,
                selection,
                start or first,
                until if ascending else since,
                limit + 1,
                scan_limit=max(SCAN_LIMIT, limit + 1),
                ascending=ascending,
            )
        if len(scan.records) > limit:
            following = scan.records[limit]
            return Page(items=scan.records[:limit], next=AuditCursor(following.at, following.id))
        return Page(items=scan.records, next=scan.scanned_to)

    def iterate(self, account_id: UUID, selection: AuditFilter) -> AsyncIterator[AuditRecord]:
        """Yields all records of the selection, oldest first."""
        return iterate_pages(
            lambda start: self.list(account_id, selection, start, CHUNK, ascending=True)
        )


async def _write(database: Database, records: list[AuditRecord]) -> None:
    async with database.connection() as connection:
        attributed = await _attribute(connection, records)
    try:
        async with database.connection() as connection:
            await rows.insert_records(connection, attributed)
    except MissingPartition:
        async with database.connection() as connection:
            for month in {month_of(record.at) for record in attributed}:
                await ensure_audit_month(connection, month)
            await rows.insert_records(connection, attributed)


async def _attribute(connection: Connection, records: list[AuditRecord]) -> list[AuditRecord]:
    """Returns the records with the root account in place of an unknown account."""
    if all(record.account_id != _UNKNOWN_ACCOUNT for record in records):
        return records
    root = await get_root_id(connection) or _UNKNOWN_ACCOUNT
    return [
        msgspec.structs.replace(record, account_id=root)
        if record.account_id == _UNKNOWN_ACCOUNT
        else record
        for record in records
    ]
