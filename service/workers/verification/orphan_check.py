"""Check of objects without a row."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service.audio.store import AudioStore, ListedObject
from service.postgres.keeper import StoredObject, find_media_orphans, find_orphans
from service.postgres.pool import Database
from service.usecases.audio_removal import remove_audio
from service.workers.keeper.orphans import parse_key
from service.workers.verification.audio_check import get_sizes
from service.workers.verification.findings import Finding, Findings, Kind

MAX_PENDING = 5_000


@dataclass(frozen=True)
class OrphanCheck:
    """Collects objects without a row, and checks them again after `settle_s`.

    A purge deletes the row first, so for some seconds its objects have no row. An upload in
    progress has no row yet, so objects younger than `grace` are not checked.
    """

    database: Database
    audio: AudioStore
    clock: Callable[[], datetime]
    grace: timedelta
    settle_s: float
    is_repairing: bool
    findings: Findings
    _pending: list[ListedObject] = field(default_factory=list, init=False)

    async def add(self, items: Sequence[ListedObject]) -> None:
        before = self.clock() - self.grace
        old = [item for item in items if item.modified < before]
        self.findings.checked["recent_objects"] += len(items) - len(old)
        self._pending.extend(old)
        if len(self._pending) >= MAX_PENDING:
            await self.flush()

    async def flush(self) -> None:
        """Reports the objects that still have no row, and deletes them in a repair."""
        if not self._pending:
            return
        await asyncio.sleep(self.settle_s)
        keys: list[str] = []
        for month, items in self._group_pending().items():
            async with self.database.connection() as connection:
                keys += (
                    await find_media_orphans(connection, items)
                    if month is None
                    else await find_orphans(connection, month, items)
                )
        sizes = await get_sizes(self.audio, keys)
        present = [key for key, size in zip(keys, sizes, strict=True) if size is not None]
        if self.is_repairing:
            await remove_audio(self.database, self.audio, present)
        for key in present:
            self.findings.add(Finding(kind=Kind.ORPHAN, key=key, repaired=self.is_repairing))

    def _group_pending(self) -> dict[int | None, list[StoredObject]]:
        """Removes the pending objects and groups them by month. Reports unrecognized keys."""
        groups: dict[int | None, list[StoredObject]] = {}
        for item in self._pending:
            if (parsed := parse_key(item.key)) is None:
                self.findings.add(Finding(kind=Kind.UNKNOWN_OBJECT, key=item.key))
            else:
                groups.setdefault(parsed[0], []).append(parsed[1])
        self._pending.clear()
        return groups
