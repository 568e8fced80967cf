"""Recount: compares the counts of boxes with their messages and repairs differences."""

from dataclasses import dataclass
from uuid import UUID

from service.logs import get_logger
from service.postgres import keeper as rows
from service.postgres.keeper import BoxKey, Drift
from service.postgres.pool import Database
from service.workers.progress import StepCounts, StepProgress

log = get_logger(__name__)

BOXES = 100
MESSAGES = 20_000
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
            for box, drifted in page:
                if drifted and await repair(self.database, box):
                    repaired += 1
            counted += len(page)
            progress.advance(len(page))
            after = page[-1][0]
        return {"boxes_counted": counted, "boxes_repaired": repaired}

    async def _read_page(self, after: BoxKey) -> list[tuple[BoxKey, bool]]:
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
