"""Purge: deletes removed messages permanently, rows before objects."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from service.audio.store import AudioStore
from service.postgres import keeper as rows
from service.postgres.pool import Database
from service.usecases.audio_removal import remove_audio
from service.workers.keeper.old_rows import repeat_batches
from service.workers.progress import StepCounts, StepProgress

BATCH = 500
_START = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))


@dataclass(frozen=True)
class Purge:
    """Deletes removed messages with their audio, deleted boxes, and mail data of deleted accounts.

    All of them after `grace`, messages after the `trash_days` of their account if it has them. The
    step `expiry` empties the boxes after this time.
    """

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    grace: timedelta
    batch: int = BATCH

    async def run(self, progress: StepProgress) -> StepCounts:
        """An interrupted purge leaves objects without rows, which the step `orphans` deletes."""
        # If the store is down, every batch would leave orphans.
        await self.audio.ping()
        now = self.clock()
        before = now - self.grace
        async with self.database.connection() as connection:
            months = await rows.list_months(connection)
            trash_days = await rows.list_trash_days(connection)
        times = {key: now - timedelta(days=days) for key, days in trash_days.items()}
        messages = 0
        for month in months:
            messages += await self._purge_month(month, before, times.keys(), progress)
            if times:
                messages += await self._purge_accounts(month, times, progress)
        return {
            "messages_purged": messages,
            "boxes_purged": await self._purge_boxes(progress),
            "recipients_purged": await self._purge_mail(before, progress),
        }

    async def _purge_month(
        self, month: int, before: datetime, skipped_ids: Collection[UUID], progress: StepProgress
    ) -> int:
        purged, (since, _) = 0, _START
        while True:
            async with self.database.connection() as connection:
                batch = await rows.purge_messages(
                    connection, month, before, self.batch, since, skipped_ids
                )
            await self._delete_audio(batch, progress)
            purged += len(batch)
            if len(batch) < self.batch:
                return purged
            # The rows of skipped accounts are read once, not in each batch.
            since = max(message.removed_at for message in batch)

    async def _purge_accounts(
        self, month: int, times: Mapping[UUID, datetime], progress: StepProgress
    ) -> int:
        purged = 0
        while True:
            async with self.database.connection() as connection:
                batch = await rows.purge_messages_of_accounts(connection, month, times, self.batch)
            await self._delete_audio(batch, progress)
            purged += len(batch)
            if len(batch) < self.batch:
                return purged

    async def _delete_audio(
        self, batch: Sequence[rows.PurgedMessage], progress: StepProgress
    ) -> None:
        keys = [row.audio_key for row in batch if row.audio_key is not None]
        await remove_audio(self.database, self.audio, keys)
        progress.advance(len(batch))

    async def _purge_boxes(self, progress: StepProgress) -> int:
        return await repeat_batches(
            self.database,
            lambda connection: rows.purge_boxes(connection, self.batch),
            self.batch,
            progress,
        )

    async def _purge_mail(self, before: datetime, progress: StepProgress) -> int:
        """Deletes the mail data of all deleted accounts, also of those that were purged before.

        Mails and answers in progress add rows after a deletion.
        """
        purged, after = 0, _START
        while True:
            async with self.database.connection() as connection:
                accounts = await rows.list_deleted_accounts(connection, before, after, self.batch)
            if not accounts:
                return purged
            ids, after = [account_id for _, account_id in accounts], accounts[-1]
            purged += await repeat_batches(
                self.database,
                partial(rows.purge_mail, account_ids=ids, limit=self.batch),
                self.batch,
                progress,
            )
