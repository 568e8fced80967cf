"""Erasure: deletes the data of a person, or of a deleted account, everywhere."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from uuid import UUID

from service.audio.store import AudioStore
from service.bus import Bus, StreamScan
from service.domain.audit import Action
from service.domain.erasure import Erasure, ErasureKind, ErasurePhase
from service.domain.errors import BusUnavailable, VmboxNotFound
from service.domain.events import ACCOUNT_EVENTS, RemovalReason
from service.domain.message import MessageId, uuid7
from service.logs import get_logger
from service.postgres import erasures as rows
from service.postgres.audit import insert_change
from service.postgres.batches import remove_messages
from service.postgres.erasures import Cursor, FoundMessage
from service.postgres.keeper import BoxKey, lock_box
from service.postgres.pool import Connection, Database
from service.postgres.trash import get_time
from service.usecases.audio_removal import remove_audio
from service.workers.keeper.exports import delete_exports_with_account
from service.workers.keeper.kept_mail import delete_mails
from service.workers.progress import StepCounts, StepProgress

log = get_logger(__name__)

BATCH = 100
_SCAN = 2_000
_PAGE = 1_000
_FIRST = MessageId(0, UUID(int=0))
_WAIT_S = 0.2
_NEXT = dict(zip(ErasurePhase, list(ErasurePhase)[1:], strict=False))

Redact = Callable[[Connection, Erasure, Cursor | None, int], Awaitable[tuple[int, Cursor | None]]]


class _NotPublished(Exception):
    """Events of the account are not in the stream yet. The next run continues."""


@dataclass(frozen=True)
class Erasures:
    """Runs the jobs. A killed job continues with its phase; each phase can run again.

    `open_bus` connects to the stream when there is a job. `mail_folder` has the mails that
    `aftertone dev` keeps. A job waits up to `publish_wait` for events that are not published, and
    `settle` for transactions of notifiers.
    """

    database: Database
    audio: AudioStore
    open_bus: Callable[[], AbstractAsyncContextManager[Bus]]
    clock: Callable[[], datetime]
    grace: timedelta
    mail_folder: Path | None = None
    publish_wait: timedelta = timedelta(seconds=30)
    settle: timedelta = timedelta(seconds=2)

    async def run(self, progress: StepProgress) -> StepCounts:
        """Erases all persons and accounts of unfinished jobs, and accounts that leave the trash."""
        finished, items = 0, 0
        await self._create_jobs()
        async with self.database.connection() as connection:
            jobs = await rows.list_unfinished(connection, _PAGE)
        if jobs:
            await self.audio.ping()
            async with self.open_bus() as bus:
                for job in jobs:
                    count = await _Run(self, bus, job, progress).finish()
                    finished += count is not None
                    items += count or 0
        return {"erasures_finished": finished, "items_erased": items}

    async def _create_jobs(self) -> None:
        now = self.clock()
        async with self.database.connection() as connection:
            accounts = await rows.list_accounts_to_erase(connection, now, now - self.grace, _PAGE)
        for subject_id, parent_id in accounts:
            async with self.database.transaction() as connection:
                if not await rows.has_unfinished(connection, parent_id, subject_id):
                    await rows.insert_erasure(
                        connection, parent_id, uuid7(now), subject_id, ErasureKind.ACCOUNT
                    )


class _Run:
    """One run of a job."""

    def __init__(self, erasures: Erasures, bus: Bus, job: Erasure, progress: StepProgress) -> None:
        self._database = erasures.database
        self._audio = erasures.audio
        self._mail_folder = erasures.mail_folder
        self._publish_wait_s = erasures.publish_wait.total_seconds()
        self._settle_s = erasures.settle.total_seconds()
        self._bus = bus
        self._job = job
        self._phase = job.phase
        self._progress = progress
        self._count = 0
        self._work = {
            ErasurePhase.MESSAGES: self._erase_messages,
            ErasurePhase.EVENTS: self._erase_events,
            ErasurePhase.DELIVERIES: self._erase_deliveries,
            ErasurePhase.RESPONSES: self._erase_responses,
            ErasurePhase.STREAM: self._erase_stream,
            ErasurePhase.MAIL: self._erase_mail,
            ErasurePhase.OTHER: self._erase_other,
        }

    @property
    def _is_account(self) -> bool:
        return self._job.kind is ErasureKind.ACCOUNT

    async def finish(self) -> int | None:
        """Runs the remaining phases. Returns the number of erased items, None if it must wait."""
        await remove_audio(self._database, self._audio, self._job.pending_keys)
        try:
            while self._phase is not ErasurePhase.FINISHED:
                await self._work[self._phase]()
                self._phase = _NEXT[self._phase]
                await self._record("messages", 0)
        except _NotPublished:
            log.warning("erasure waits for the relay", erasure_id=self._job.erasure_id.hex)
            return None
        async with self._database.transaction() as connection:
            await rows.finish_erasure(connection, self._job)
            await insert_change(
                connection,
                self._job.account_id,
                Action.ERASURE_FINISHED,
                self._job.erasure_id,
            )
        log.info("erasure finished", erasure_id=self._job.erasure_id.hex, items=self._count)
        return self._count

    async def _erase_messages(self) -> None:
        after: MessageId | None = _FIRST
        while after is not None:
            async with self._database.connection() as connection:
                found, after = await rows.list_messages(connection, self._job, after, _SCAN)
            by_box = sorted(found, key=lambda each: each.vmbox_id)
            for vmbox_id, group in groupby(by_box, key=lambda each: each.vmbox_id):
                messages = list(group)
                for start in range(0, len(messages), BATCH):
                    await self._erase_batch(vmbox_id, messages[start : start + BATCH])

    async def _erase_batch(self, vmbox_id: UUID, found: Sequence[FoundMessage]) -> None:
        """Removes messages, which writes events and changes counts. Then deletes rows and objects.

        The rows are redacted first, so that the events have no data of the person. An interrupted
        deletion of the objects is continued with the keys that are stored in the job.
        """
        account_id, ids = self._job.subject_id, [message.id for message in found]
        async with self._database.transaction() as connection:
            is_in_use = await lock_box(connection, BoxKey(account_id, vmbox_id))
            erased = await rows.redact_messages(connection, account_id, vmbox_id, ids)
            kept = len(ids) - len(erased)
            await rows.record_progress(connection, self._job, self._phase, "messages_kept", kept)
            if not erased:
                return
            if is_in_use:
                with suppress(VmboxNotFound):
                    await remove_messages(
                        connection,
                        account_id,
                        vmbox_id,
                        erased,
                        folder=None,
                        reason=RemovalReason.ERASED,
                    )
            keys = await rows.delete_messages(connection, account_id, erased)
            pending = [key for key in keys if key is not None]
            await rows.record_progress(
                connection, self._job, self._phase, "messages", len(erased), pending
            )
        await remove_audio(self._database, self._audio, pending)
        await self._record("audio", len(pending))
        self._advance(len(erased))

    async def _erase_events(self) -> None:
        if not self._is_account:
            await self._redact("events", rows.redact_outbox)
            return
        await self._wait_until_sent()
        await self._delete("events", "outbox")

    async def _erase_deliveries(self) -> None:
        """Runs twice: a notifier may have read an event before it was deleted in the stream."""
        for pause_s in (self._settle_s, 0):
            if self._is_account:
                await self._delete("deliveries", "deliveries")
                await self._delete("attempts", "attempts")
            else:
                await self._redact("deliveries", rows.redact_deliveries)
            await asyncio.sleep(pause_s)

    async def _erase_responses(self) -> None:
        if not self._is_account:
            async with self._database.connection() as connection:
                count = await rows.redact_answers(connection, self._job)
            await self._record("responses", count)

    async def _erase_stream(self) -> None:
        """Deletes the events in the stream, after the relay has published all of them."""
        await self._wait_until_sent()
        await self._wait_until_connected()
        scan, after = StreamScan(self._bus, self._job.subject_id), 0
        while events := await scan.read(after, BATCH):
            after = events[-1].stream_seq
            affected = [event for event in events if event.type not in ACCOUNT_EVENTS]
            if not self._is_account:
                async with self._database.connection() as connection:
                    indexes = await rows.match_events(
                        connection, self._job, [event.data for event in affected]
                    )
                affected = [affected[index] for index in indexes]
            for event in affected:
                await scan.delete(event.stream_seq)
            await self._record("stream_events", len(affected))

    async def _erase_mail(self) -> None:
        if self._is_account or self._mail_folder is None:
            return

        async def is_affected(text: str, numbers: list[str]) -> bool:
            async with self._database.connection() as connection:
                return await rows.find_mail(connection, self._job, text, numbers)

        deleted = 0
        async for count in delete_mails(self._mail_folder, is_affected):
            deleted += count
        await self._record("mails", deleted)

    async def _erase_other(self) -> None:
        exports = await delete_exports_with_account(
            self._database, self._audio, self._job.subject_id
        )
        await self._record("exports", exports)
        if not self._is_account:
            return
        while True:
            async with self._database.connection() as connection:
                count = await rows.redact_audit(connection, self._job.subject_id, _PAGE)
            await self._record("audit_addresses", count)
            if count < _PAGE:
                break
        async with self._database.transaction() as connection:
            await rows.delete_rows_of_account(connection, self._job.subject_id)

    async def _redact(self, counter: str, redact: Redact) -> None:
        cursor: Cursor | None = None
        while True:
            async with self._database.connection() as connection:
                count, cursor = await redact(connection, self._job, cursor, _PAGE)
            await self._record(counter, count)
            if cursor is None:
                return

    async def _delete(self, counter: str, table: str) -> None:
        while True:
            async with self._database.connection() as connection:
                count = await rows.delete_batch(connection, table, self._job.subject_id, _PAGE)
            await self._record(counter, count)
            if count < _PAGE:
                return

    async def _record(self, counter: str, count: int) -> None:
        """Records the phase and adds to a counter.

        Also clears the keys of objects that remain to be deleted: call it after their deletion.
        """
        async with self._database.connection() as connection:
            await rows.record_progress(connection, self._job, self._phase, counter, count)
        self._advance(count)

    def _advance(self, count: int) -> None:
        self._count += count
        self._progress.advance(count)

    async def _wait_until_sent(self) -> None:
        """Waits for the relay. Raises _NotPublished after a time."""
        async with self._database.connection() as connection:
            before = await get_time(connection)
        deadline = asyncio.get_running_loop().time() + self._publish_wait_s
        while True:
            async with self._database.connection() as connection:
                if await rows.is_sent(connection, self._job.subject_id, before):
                    return
            if asyncio.get_running_loop().time() > deadline:
                raise _NotPublished
            await asyncio.sleep(_WAIT_S)

    async def _wait_until_connected(self) -> None:
        """Waits for the connection to the stream. Raises BusUnavailable after a time."""
        deadline = asyncio.get_running_loop().time() + self._publish_wait_s
        while not self._bus.connected:
            if asyncio.get_running_loop().time() > deadline:
                raise BusUnavailable("not connected")
            await asyncio.sleep(_WAIT_S)
