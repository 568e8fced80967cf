"""Keeper process: schedule, locks, outages, and steps run by hand."""

import asyncio
import os
import pty
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from service.domain.errors import StorageUnavailable
from service.postgres.pool import Database
from service.workers.keeper import Keeper, Step, StepProgress
from tests.support.database import TestDatabase
from tests.support.forked import run_command
from tests.support.running import RunningService
from tests.support.waiting import DEADLINE_S, wait_until

NO_PAUSE = timedelta(0)
SOON = timedelta(milliseconds=20)
HOUR = timedelta(hours=1)


class Worker:
    """Step that counts its runs. The first runs raise `problems`."""

    def __init__(self, *problems: Exception) -> None:
        self.runs = 0
        self.problems = list(problems)
        self.gate = asyncio.Event()
        self.gate.set()

    async def work(self, progress: StepProgress) -> dict[str, int]:
        self.runs += 1
        if self.problems:
            raise self.problems.pop(0)
        await self.gate.wait()
        progress.advance(1)
        return {"runs": self.runs}

    def step(self, name: str = "step", every: timedelta = HOUR) -> Step:
        return Step(name=name, work=self.work, every=every, after=NO_PAUSE)


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def a_keeper(
    owner: Database, where: TestDatabase, *steps: Step, clock: Callable[[], datetime] | None = None
) -> Keeper:
    return Keeper(owner, where.owner_url, clock or Clock(), steps, retry_after=SOON)


@asynccontextmanager
async def running(keeper: Keeper) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(keeper.run(stop))
    try:
        yield
        stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await task
    finally:
        task.cancel()


def ran(worker: Worker, times: int) -> Callable[[], bool]:
    return lambda: worker.runs >= times


async def finished(inspector: asyncpg.Connection) -> dict[str, datetime]:
    rows = await inspector.fetch("SELECT step, finished_at FROM keeper_steps")
    return {row["step"]: row["finished_at"] for row in rows}


async def has_finished(inspector: asyncpg.Connection, steps: int = 1) -> None:
    async def all_noted() -> bool:
        return len(await finished(inspector)) == steps

    await wait_until(all_noted)


async def test_steps_run_in_parallel_and_a_stop_cancels_them(
    owner: Database, test_database: TestDatabase, inspector: asyncpg.Connection
) -> None:
    slow, quick = Worker(), Worker()
    slow.gate.clear()
    async with running(a_keeper(owner, test_database, slow.step("slow"), quick.step("quick"))):
        await wait_until(ran(slow, 1))
        await has_finished(inspector)
    assert list(await finished(inspector)) == ["quick"]


async def test_a_step_is_not_run_before_it_is_due_even_by_a_new_keeper(
    owner: Database, test_database: TestDatabase, inspector: asyncpg.Connection
) -> None:
    clock, worker = Clock(), Worker()
    keeper = a_keeper(owner, test_database, worker.step(), clock=clock)
    async with running(keeper):
        await has_finished(inspector)
    clock.now += timedelta(minutes=59)
    # The other step fails three times before it succeeds: the first one is judged meanwhile.
    other = Worker(*(StorageUnavailable("away") for _ in range(3)))
    steps = (worker.step(), other.step("other"))
    async with running(a_keeper(owner, test_database, *steps, clock=clock)):
        await wait_until(ran(other, 4))
    assert worker.runs == 1
    clock.now += timedelta(minutes=2)
    async with running(keeper):
        await wait_until(ran(worker, 2))


async def test_a_last_run_in_the_future_does_not_delay_a_step(
    owner: Database, test_database: TestDatabase, inspector: asyncpg.Connection
) -> None:
    await inspector.execute("INSERT INTO keeper_steps VALUES ('step', now() + interval '1 year')")
    worker = Worker()
    async with running(a_keeper(owner, test_database, worker.step())):
        await wait_until(ran(worker, 1))


@pytest.mark.parametrize("problem", [StorageUnavailable("away"), RuntimeError("a fault")])
async def test_a_step_that_fails_is_retried_and_delays_no_other(
    owner: Database, test_database: TestDatabase, inspector: asyncpg.Connection, problem: Exception
) -> None:
    failing, other = Worker(problem, problem), Worker()
    async with running(a_keeper(owner, test_database, failing.step("failing"), other.step())):
        await has_finished(inspector, steps=2)
    assert (failing.runs, other.runs) == (3, 1)


async def test_a_keeper_survives_a_database_outage(
    owner: Database, test_database: TestDatabase, inspector: asyncpg.Connection
) -> None:
    worker = Worker()
    await inspector.execute("ALTER TABLE keeper_steps RENAME TO away")
    with capture_logs() as logs:
        async with running(a_keeper(owner, test_database, worker.step())):
            await wait_until(lambda: len(logs) > 2)
            assert worker.runs == 0
            await inspector.execute("ALTER TABLE away RENAME TO keeper_steps")
            await wait_until(ran(worker, 1))
    elsewhere = TestDatabase(url="", owner_url="postgresql://x:x@127.0.0.1:9/x")
    with capture_logs() as logs:
        async with running(a_keeper(owner, elsewhere, worker.step())):
            await wait_until(lambda: len(logs) > 2)
    assert worker.runs == 1


async def test_a_step_runs_in_one_keeper_at_a_time_and_another_replaces_a_killed_one(
    owner: Database, test_database: TestDatabase
) -> None:
    worker = Worker()
    worker.gate.clear()
    step, other = worker.step(), worker.step("other")
    keeper = a_keeper(owner, test_database, step, other)
    first = asyncio.create_task(keeper.run_once(step, StepProgress()))
    await wait_until(ran(worker, 1))
    assert await keeper.run_once(step, StepProgress()) is None
    second = asyncio.create_task(keeper.run_once(other, StepProgress()))
    await wait_until(ran(worker, 2))
    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    worker.gate.set()

    async def taken() -> bool:
        return await keeper.run_once(step, StepProgress()) is not None

    await wait_until(taken)


async def by_hand(
    service: RunningService, *arguments: str, terminal: str = ""
) -> tuple[int, str, str]:
    """Runs `aftertone keeper ...`. Returns exit code, output and log."""
    environment = service.environment
    finished = await run_command(environment, "keeper", *arguments, terminal=terminal)
    return finished.code, finished.stdout, finished.stderr


@pytest.mark.long
async def test_all_steps_on_the_command_line_print_one_line_each(
    service: RunningService,
) -> None:
    # Other tests have left wrong counts and deleted accounts.
    for step in ("recount", "erasure"):
        await by_hand(service, "--once", step)
    code, printed, logged = await by_hand(service, "--once", "all")
    assert (code, logged) == (0, "")
    lines = dict(line.split(": ") for line in printed.splitlines())
    assert list(lines) == [
        "partitions",
        "expiry",
        "pending",
        "idempotency",
        "tokens",
        "deliveries",
        "attempts",
        "webhooks",
        "audit",
        "purge",
        "erasure",
        "months",
        "orphans",
        "recount",
        "exports",
    ]
    assert lines["purge"] == "0 messages purged, 0 boxes purged, 0 recipients purged"


async def test_an_unknown_step_is_rejected_with_the_valid_names(
    service: RunningService,
) -> None:
    code, _, logged = await by_hand(service, "--once", "sleep")
    assert code == 2
    assert "Unknown step 'sleep'; use one of partitions, expiry, pending" in logged


async def test_a_terminal_shows_the_progress_of_a_step(service: RunningService) -> None:
    account = await service.an_account()
    await account.a_vmbox()
    await account.http.aclose()
    terminal, end = pty.openpty()
    code, printed, _ = await by_hand(service, "--once", "recount", terminal=os.ttyname(end))
    os.close(end)
    output = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert code == 0
    assert printed.startswith("recount: ")
    assert "recount  [" in output
    # Other tests have left boxes.
    assert re.search(r" ([1-9]\d*)/\1 ", output)
