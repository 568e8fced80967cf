"""The keeper's process: each step in its own time, and what an outage does to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.errors import Unavailable
from service.logs import get_logger
from service.postgres.keeper import last_finished, note_finished, step_lock
from service.postgres.pool import Database
from service.workers.keeper.steps import Step
from service.workers.progress import StepCounts, StepProgress

log = get_logger(__name__)

ALL = "all"
_LOCK_TIMEOUT_S = 5.0
_NOW = timedelta(0)


class UnknownStep(Exception):
    """There is no such step."""


@dataclass(frozen=True)
class Keeper:
    """Runs each step when it is due, and each alone: an advisory lock keeps other keepers off it.

    When a step has last run to its end is in the database, so that neither a restart nor a second
    keeper runs it again before its time. A step that failed is tried again after `again_after`.
    """

    database: Database
    database_url: str
    clock: Callable[[], datetime]
    steps: Sequence[Step]
    again_after: timedelta = timedelta(minutes=1)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. What is under way is cut short: every step may be, anywhere."""
        tasks = [asyncio.create_task(self._keep(step)) for step in self.steps]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def named(self, name: str) -> Sequence[Step]:
        """The step of that name, or `all` of them. Raises UnknownStep."""
        found = [step for step in self.steps if name in {step.name, ALL}]
        if not found:
            names = ", ".join(step.name for step in self.steps)
            raise UnknownStep(f"There is no step {name!r}; there are {names}, and {ALL}.")
        return found

    async def once(self, step: Step, progress: StepProgress) -> StepCounts | None:
        """Runs a step, due or not; None when another keeper is at it. Raises Unavailable."""
        async with self._alone_at(step) as alone:
            return await self._done(step, progress) if alone else None

    async def _keep(self, step: Step) -> None:
        pause = step.after
        while True:
            await asyncio.sleep(pause.total_seconds())
            pause = await self._turn(step)

    async def _turn(self, step: Step) -> timedelta:
        """Runs a step if it is due; how long until the next look."""
        try:
            async with self._alone_at(step) as alone:
                if not alone:
                    return self.again_after
                if (wait := await self._until_due(step)) > _NOW:
                    return wait
                done = await self._done(step, StepProgress())
        except Unavailable as error:
            log.warning(
                "A step was cut short and is tried again",
                step=step.name,
                problem=str(error),
                reason=error.reason,
            )
            return self.again_after
        except Exception:
            # One step that fails must not keep the others from their work.
            log.exception("A step failed and is tried again", step=step.name)
            return self.again_after
        log.info("A step is done", step=step.name, **done)
        return step.every

    async def _done(self, step: Step, progress: StepProgress) -> StepCounts:
        done = await step.work(progress)
        async with self.database.connection() as connection:
            await note_finished(connection, step.name, self.clock(), done)
        return done

    async def _until_due(self, step: Step) -> timedelta:
        async with self.database.connection() as connection:
            finished_at = await last_finished(connection, step.name)
        now = self.clock()
        # A time that has not come yet is a clock that was set back.
        if finished_at is None or finished_at > now:
            return _NOW
        return finished_at + step.every - now

    @asynccontextmanager
    async def _alone_at(self, step: Step) -> AsyncIterator[bool]:
        async with step_lock(self.database_url, step.name, _LOCK_TIMEOUT_S) as alone:
            yield alone
