"""Exports that administrators have started over HTTP: writes and deletes their archives."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.audio.store import AudioStore
from service.domain.errors import AccountNotFound
from service.domain.export import KEPT, ExportJob
from service.postgres import export_jobs as rows
from service.postgres.accounts import read_account
from service.postgres.pool import Database
from service.security import SecretBox
from service.transfer.archive.bucket import BucketDestination, delete_archive
from service.transfer.archive.destination import ExportFailed
from service.transfer.archive.exporter import Exporter
from service.transfer.archive.records import RecordReader
from service.workers.progress import StepCounts, StepProgress

_BATCH = 100
_RUN_S = 30 * 60


@dataclass(frozen=True)
class ExportJobs:
    """Writes the archives of pending exports, and deletes exports after 7 days.

    An interrupted export continues at its last checkpoint. Without `secrets`, archives have no
    PINs. `trash_days` applies to accounts without their own.
    """

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    trash_days: int
    secrets: SecretBox | None = None

    async def run(self, progress: StepProgress) -> StepCounts:
        deleted = await self._delete_old()
        written = 0
        # The next run continues, so that other steps of a keeper that runs once are not late.
        with suppress(TimeoutError):
            async with asyncio.timeout(_RUN_S):
                while (job := await self._find_pending()) is not None:
                    await self._run_job(job, progress)
                    written += 1
        return {"exports_completed": written, "exports_deleted": deleted}

    async def _find_pending(self) -> ExportJob | None:
        async with self.database.connection() as connection:
            return await rows.find_pending_export(connection)

    async def _run_job(self, job: ExportJob, progress: StepProgress) -> None:
        size, problem = None, None
        try:
            size = await self._write(job, progress)
        except (ExportFailed, AccountNotFound) as error:
            problem = str(error)
        async with self.database.connection() as connection:
            is_known = await rows.finish_export(connection, job, archive_size=size, problem=problem)
        if not is_known:
            await delete_archive(self.audio.multipart, job.key)

    async def _write(self, job: ExportJob, progress: StepProgress) -> int:
        """Writes the archive, or its rest, and returns its size."""
        uploads = self.audio.multipart
        size = await uploads.size_of(job.key)
        if size is None:
            async with self.database.connection() as connection:
                if await read_account(connection, job.account_id) is None:
                    raise AccountNotFound
            observer = _JobProgress(progress)
            exporter = Exporter(
                database=self.database,
                audio=self.audio,
                reader=RecordReader(self.database, self.secrets, self.clock, self.trash_days),
                clock=self.clock,
                observer=observer,
            )
            destination = await BucketDestination.open(uploads, job.key)
            recorded = _RecordedDestination(destination, self.database, job, observer)
            manifest = await exporter.run(job.account_id, recorded)
            observer.missing = manifest.counts["missing_audio"]
            await recorded.record()
            size = await uploads.size_of(job.key)
        if size is None:
            raise ExportFailed("The archive was deleted from the bucket; start another export.")
        return size

    async def _delete_old(self) -> int:
        async with self.database.connection() as connection:
            old = await rows.list_old_exports(connection, self.clock() - KEPT, _BATCH)
        await _delete(self.database, self.audio, old)
        return len(old)


async def delete_exports_with_account(
    database: Database, audio: AudioStore, account_id: UUID
) -> int:
    """Deletes the exports that contain data of an account, also those in progress."""
    async with database.connection() as connection:
        jobs = await rows.list_exports_with_account(connection, account_id)
    await _delete(database, audio, jobs)
    return len(jobs)


async def _delete(database: Database, audio: AudioStore, jobs: Sequence[ExportJob]) -> None:
    """Deletes archives before their rows, so that an interrupted deletion continues."""
    for job in jobs:
        await delete_archive(audio.multipart, job.key)
        async with database.connection() as connection:
            await rows.delete_export(connection, job)


class _JobProgress:
    """Counts the messages of an export."""

    def __init__(self, progress: StepProgress) -> None:
        self._progress = progress
        self.total = 0
        self.exported = 0
        self.missing = 0

    def set_total(self, total: int) -> None:
        self.total = total
        self._progress.set_total(total)

    def advance(self, count: int) -> None:
        self.exported += count
        self._progress.advance(count)

    def report_missing(self, name: str) -> None:
        self.missing += bool(name)


class _RecordedDestination:
    """Destination that records the progress of the job at each checkpoint."""

    def __init__(
        self,
        destination: BucketDestination,
        database: Database,
        job: ExportJob,
        progress: _JobProgress,
    ) -> None:
        self._destination = destination
        self._database = database
        self._job = job
        self._progress = progress

    @property
    def state(self) -> bytes | None:
        return self._destination.state

    async def write(self, data: bytes) -> None:
        await self._destination.write(data)

    async def checkpoint(self, state: bytes) -> None:
        await self._destination.checkpoint(state)
        await self.record()

    async def finish(self) -> None:
        await self._destination.finish()

    async def record(self) -> None:
        async with self._database.connection() as connection:
            await rows.record_export_progress(
                connection,
                self._job,
                messages=self._progress.total,
                exported=self._progress.exported,
                missing_audio=self._progress.missing,
            )
