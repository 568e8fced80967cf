"""Verification of a deployment or of an account."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from service.audio.keys import month_prefix
from service.audio.store import AudioStore, ListedObject
from service.domain.message import MessageId
from service.postgres.old_partitions import list_month_tables
from service.postgres.pool import Database
from service.postgres.verification import AudioRow, estimate_audio, iterate_audio, list_audio_keys
from service.workers.keeper.months import list_bucket_months
from service.workers.keeper.orphans import in_batches
from service.workers.progress import StepProgress
from service.workers.verification.audio_check import AudioCheck, Sample, get_sizes
from service.workers.verification.count_check import CountCheck
from service.workers.verification.findings import Finding, Findings, Kind
from service.workers.verification.merge import Match, merge
from service.workers.verification.orphan_check import OrphanCheck

BATCH = 500
# Longer than a purge takes from the deletion of rows to the deletion of their objects.
SETTLE_S = 10.0
_GREETINGS = "media/"
Progress = Callable[[str], AbstractContextManager[StepProgress]]


@dataclass(frozen=True)
class Verification:
    """Compares rows and objects, audio and SHA-256, messages and counts.

    Runs beside the service. A difference is checked again before it is reported, because a message
    may have been stored or removed since it was read. Without `sample_size`, all audio is read.
    """

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    orphan_grace: timedelta
    account_id: UUID | None
    sample_size: int | None
    is_repairing: bool
    settle_s: float = SETTLE_S
    batch: int = BATCH

    async def run(self, findings: Findings, progress: Progress) -> None:
        """Adds all findings. Raises Unavailable when a server fails."""
        await self.audio.ping()
        sample = Sample(self.sample_size or 0)
        orphan_check = OrphanCheck(
            self.database,
            self.audio,
            self.clock,
            self.orphan_grace,
            self.settle_s,
            self.is_repairing,
            findings,
        )
        with progress("messages and greetings") as bar:
            await self._set_total(bar)
            for month in (*await self._list_months(), None):
                await self._check_month(month, findings, orphan_check, sample, bar)
            await orphan_check.flush()
        if sample.rows:
            with progress("audio") as bar:
                bar.set_total(len(sample.rows))
                await self._check_sample(sample.rows, findings, bar)
        with progress("mailboxes") as bar:
            check = CountCheck(self.database, self.account_id, self.is_repairing)
            await check.run(findings, bar)
        findings.is_complete = True

    async def _set_total(self, bar: StepProgress) -> None:
        if self.account_id is None:
            async with self.database.connection() as connection:
                if estimate := await estimate_audio(connection):
                    bar.set_total(estimate)

    async def _list_months(self) -> list[int]:
        async with self.database.connection() as connection:
            tables = await list_month_tables(connection)
        return sorted({table.month for table in tables} | await list_bucket_months(self.audio))

    async def _check_month(
        self,
        month: int | None,
        findings: Findings,
        orphan_check: OrphanCheck,
        sample: Sample,
        bar: StepProgress,
    ) -> None:
        """Compares a month, or all greetings."""
        rows = iterate_audio(self.database, month, self.account_id, self.batch)
        prefix = _GREETINGS if month is None else month_prefix(month)
        if self.account_id is not None:
            prefix += f"{self.account_id.hex}/"
        matches = merge(rows, self.audio.list(prefix))
        async for batch in in_batches(matches, self.batch):
            found = [match.row for match in batch if match.row is not None]
            await self._check_batch(month, batch, findings, orphan_check)
            if self.sample_size is None:
                await self._check_audio(found, findings)
            else:
                for match in batch:
                    if match.row is not None and match.object is not None:
                        sample.add(match.row)
            bar.advance(len(found))

    async def _check_batch(
        self,
        month: int | None,
        batch: Sequence[Match],
        findings: Findings,
        orphan_check: OrphanCheck,
    ) -> None:
        missing: list[AudioRow] = []
        orphans: list[ListedObject] = []
        for match in batch:
            findings.checked["rows"] += match.row is not None
            findings.checked["objects"] += match.object is not None
            if match.object is None and match.row is not None:
                missing.append(match.row)
            elif match.row is None and match.object is not None:
                orphans.append(match.object)
            elif match.row and match.object and match.row.audio.size != match.object.size:
                findings.add(_of_row(match.row, Kind.SIZE_DIFFERS, actual=match.object.size))
            if match.row is not None and not match.row.has_vmbox:
                findings.add(_of_row(match.row, Kind.VMBOX_MISSING))
        if missing:
            await self._report_missing(month, missing, findings)
        await orphan_check.add(orphans)

    async def _report_missing(
        self, month: int | None, rows: Sequence[AudioRow], findings: Findings
    ) -> None:
        """Reports the rows that still refer to an object that does not exist."""
        # Checks the object before the row: a row that still names the key after that should have an
        # object, so a removal in the meantime is not reported.
        sizes = await get_sizes(self.audio, [row.audio.key for row in rows])
        absent = [row for row, size in zip(rows, sizes, strict=True) if size is None]
        for row in await self._unchanged(month, absent):
            findings.add(_of_row(row, Kind.AUDIO_MISSING))

    async def _unchanged(self, month: int | None, rows: Sequence[AudioRow]) -> list[AudioRow]:
        owners = [(row.account_id, row.id) for row in rows]
        async with self.database.connection() as connection:
            keys = await list_audio_keys(connection, month, owners)
        return [row for row in rows if row.audio.key in keys]

    async def _check_sample(
        self, rows: Sequence[AudioRow], findings: Findings, bar: StepProgress
    ) -> None:
        for start in range(0, len(rows), self.batch):
            batch = rows[start : start + self.batch]
            await self._check_audio(batch, findings)
            bar.advance(len(batch))

    async def _check_audio(self, rows: Sequence[AudioRow], findings: Findings) -> None:
        """Reads audio. The comparison of lists has reported missing audio and wrong sizes."""
        findings.checked["audio"] += len(rows)
        problems = await AudioCheck(self.audio).check(rows)
        kinds = {row.audio.key: kind for row, kind in problems if kind in _OF_CONTENT}
        bad = sorted((row for row in rows if row.audio.key in kinds), key=_month_of)
        for month, group in groupby(bad, key=lambda row: row.month):
            for row in await self._unchanged(month, list(group)):
                findings.add(_of_row(row, kinds[row.audio.key]))


_OF_CONTENT = {Kind.CONTENT_DIFFERS, Kind.AUDIO_UNREADABLE}


def _month_of(row: AudioRow) -> int:
    return row.month or 0


def _of_row(row: AudioRow, kind: Kind, actual: int | None = None) -> Finding:
    return Finding(
        kind=kind,
        account_id=row.account_id.hex,
        vmbox_id=None if row.vmbox_id is None else row.vmbox_id.hex,
        message_id=None if row.month is None else str(MessageId(row.month, row.id)),
        greeting_id=row.id.hex if row.month is None else None,
        key=row.audio.key,
        expected=row.audio.size if kind is Kind.SIZE_DIFFERS else None,
        actual=actual,
    )
