"""Use cases of exports over HTTP: start, show the progress, read the archive."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.audio.store import AudioStore
from service.domain.account import AccountFacts
from service.domain.audit import Action
from service.domain.errors import ExportNotReady
from service.domain.export import MAX_LISTED, ExportJob, ExportStatus
from service.domain.message import Audio, uuid7
from service.postgres import export_jobs as rows
from service.postgres.accounts import lock_account_for_share
from service.postgres.audit import insert_change
from service.postgres.pool import Database

ARCHIVE_TYPE = "application/zstd"


@dataclass(frozen=True)
class Exports:
    """Use cases of exports. The keeper writes the archives. `clock` returns aware UTC."""

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]

    async def start(self, account: AccountFacts) -> ExportJob:
        """Starts an export of an account and the accounts below it.

        Raises ExportInProgress, AccountNotFound.
        """
        export_id = uuid7(self.clock())
        async with self.database.transaction() as connection:
            await lock_account_for_share(connection, account.account_id)
            job = await rows.insert_export(connection, account.account_id, export_id)
            await insert_change(
                connection, account.account_id, Action.EXPORT_STARTED, job.export_id
            )
        return job

    async def get(self, account: AccountFacts, export_id: UUID) -> ExportJob:
        """Returns an export with its progress. Raises ExportNotFound."""
        async with self.database.connection() as connection:
            return await rows.get_export(connection, account.account_id, export_id)

    async def list(self, account: AccountFacts) -> list[ExportJob]:
        """Returns the exports of the last days, the newest first."""
        async with self.database.connection() as connection:
            return await rows.list_exports(connection, account.account_id, MAX_LISTED)

    async def get_archive(self, account: AccountFacts, export_id: UUID) -> Audio:
        """Returns the object of the archive. Raises ExportNotFound, ExportNotReady."""
        job = await self.get(account, export_id)
        if job.status is not ExportStatus.DONE or job.archive_size is None:
            raise ExportNotReady
        # An archive never changes, so its id serves as its ETag.
        tag = hashlib.sha256(job.export_id.bytes).digest()
        return Audio(key=job.key, content_type=ARCHIVE_TYPE, size=job.archive_size, sha256=tag)

    def read(
        self, archive: Audio, start: int, length: int
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Streams a part of an archive. Raises AudioMissing and Unavailable on entry."""
        return self.audio.read(archive.key, start, length)
