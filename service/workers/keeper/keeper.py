"""Keeper process: runs each step on its schedule."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.domain.errors import Unavailable
from service.logs import get_logger
from service.postgres.keeper import get_last_run, record_run, step_lock
from service.postgres.pool import Database
from service.workers.keeper.steps import Step
from service.workers.progress import StepCounts, StepProgress

log = get_logger(__name__)

ALL = "all"
_LOCK_TIMEOUT_S = 5.0
_NOW = timedelta(0)


class UnknownStep(Exception):
    """No step has this name. The text lists the valid names."""


@dataclass(frozen=True)
class Keeper:
    """Runs each step when it is due. An advisory lock prevents two keepers from running it at once.

    The time of the last completed run is stored in the database, so a restart or a second keeper
    does not run a step early. A step that failed is retried after `retry_after`.
    """

    database: Database
    database_url: str
    clock: Callable[[], datetime]
    steps: Sequence[Step]
    retry_after: timedelta = timedelta(minutes=1)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, then cancels the running steps."""
        tasks = [asyncio.create_task(self._repeat(step)) for step in self.steps]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def select_steps(self, name: str) -> Sequence[Step]:
        """Returns the step with that name, or all steps for `all`. Raises UnknownStep."""
        steps = [step for step in self.steps if name in {step.name, ALL}]
        if not steps:
            names = ", ".join(step.name for step in self.steps)
            raise UnknownStep(f"Unknown step {name!r}; use one of {names}, or {ALL}.")
        return steps

    async def run_once(self, step: Step, progress: StepProgress) -> StepCounts | None:
        """Runs a step now. Returns None if another keeper is running it. Raises Unavailable."""
        async with self._lock(step) as locked:
            return await self._run_locked(step, progress) if locked else None

    async def _repeat(self, step: Step) -> None:
        pause = step.after
        while True:
            await asyncio.sleep(pause.total_seconds())
            pause = await self._run_if_due(step)

    async def _run_if_due(self, step: Step) -> timedelta:
        """Runs a step if it is due. Returns the time until the next check."""
        try:
            async with self._lock(step) as locked:
                if not locked:
                    return self.retry_after
                if (wait := await self._time_until_due(step)) > _NOW:
                    return wait
                counts = await self._run_locked(step, StepProgress())
        except Unavailable as error:
            log.warning(
                "keeper step interrupted",
                step=step.name,
                problem=str(error),
                reason=error.reason,
            )
            return self.retry_after
        except Exception:
            # A failure of one step must not stop the others.
            log.exception("keeper step failed", step=step.name)
            return self.retry_after
        log.info("keeper step completed", step=step.name, **counts)
        return step.every

    async def _run_locked(self, step: Step, progress: StepProgress) -> StepCounts:
        counts = await step.work(progress)
        async with self.database.connection() as connection:
            await record_run(connection, step.name, self.clock(), counts)
        return counts

    async def _time_until_due(self, step: Step) -> timedelta:
        async with self.database.connection() as connection:
            finished_at = await get_last_run(connection, step.name)
        now = self.clock()
        # A time in the future means that the clock was set back.
        if finished_at is None or finished_at > now:
            return _NOW
        return finished_at + step.every - now

    def _lock(self, step: Step) -> AbstractAsyncContextManager[bool]:
        return step_lock(self.database_url, step.name, _LOCK_TIMEOUT_S)
