"""Recount: compares counts and stored bytes with the messages and repairs differences."""

from dataclasses import dataclass
from uuid import UUID

from service.logs import get_logger
from service.postgres import keeper as rows
from service.postgres.keeper import BoxKey, Drift, RecountedBox
from service.postgres.pool import Database
from service.workers.progress import StepCounts, StepProgress

log = get_logger(__name__)

BOXES = 100
MESSAGES = 20_000
ACCOUNTS = 1_000
_FIRST = BoxKey(UUID(int=0), UUID(int=0))


@dataclass(frozen=True)
class Recount:
    """Checks all boxes, in pages of at most `boxes` boxes and about `messages` messages."""

    database: Database
    boxes: int = BOXES
    messages: int = MESSAGES

    async def run(self, progress: StepProgress) -> StepCounts:
        """Counts without locks. A box that differs is locked and counted again."""
        async with self.database.connection() as connection:
            progress.set_total(await rows.count_boxes(connection))
        counted, repaired = 0, 0
        after = _FIRST
        while page := await self._read_page(after):
            for box in page:
                if box.has_drifted and await repair(self.database, box.key):
                    repaired += 1
                if box.have_bytes_drifted:
                    await set_bytes(self.database, box.key)
            counted += len(page)
            progress.advance(len(page))
            after = page[-1].key
        await self._correct_accounts()
        return {"boxes_counted": counted, "boxes_repaired": repaired}

    async def _correct_accounts(self) -> None:
        after = UUID(int=0)
        while account_ids := await self._list_accounts(after):
            for account_id in account_ids:
                async with self.database.transaction() as connection:
                    await rows.correct_account_bytes(connection, account_id)
            after = account_ids[-1]

    async def _list_accounts(self, after: UUID) -> list[UUID]:
        async with self.database.connection() as connection:
            return await rows.list_account_ids(connection, after, ACCOUNTS)

    async def _read_page(self, after: BoxKey) -> list[RecountedBox]:
        async with self.database.connection() as connection:
            return await rows.recount_boxes(
                connection, after, boxes=self.boxes, messages=self.messages
            )


async def repair(database: Database, box: BoxKey) -> Drift | None:
    """Recounts a box under its lock and sets its counts. Returns None if they were correct.

    A repair appends `vmbox.updated`, so that subscribers get the correct counts.
    """
    async with database.transaction() as connection:
        if not await rows.lock_box(connection, box):
            return None
        drift = await rows.repair_counts(connection, box)
    if drift is not None:
        log.warning(
            "box counts repaired",
            account_id=box.account_id.hex,
            vmbox_id=box.vmbox_id.hex,
            stored=drift.stored,
            counted=drift.counted,
        )
    return drift


async def set_bytes(database: Database, box: BoxKey) -> None:
    """Sets the stored bytes of a box to those of its messages, under its lock."""
    async with database.transaction() as connection:
        if await rows.lock_box(connection, box):
            await rows.set_box_bytes(connection, box)
