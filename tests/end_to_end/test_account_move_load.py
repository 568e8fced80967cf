"""Two deployments side by side: accounts move under load, and the moves are killed."""

import asyncio
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.support.moving_client import MovingClient
from tests.support.relay import Received
from tests.support.running import RunningService
from tests.support.two_deployments import (
    Deployments,
    MoveProcess,
    events_in,
    open_deployments,
)

ACCOUNTS = int(os.environ.get("AFTERTONE_TEST_MOVED_ACCOUNTS", "20"))
MOVES_AT_ONCE = int(os.environ.get("AFTERTONE_TEST_MOVES_AT_ONCE", "4"))
KILLS = 20
BOXES = 2
MESSAGES = 4
API_DEADLINE_S = 3
# Steps in which commands are killed, with their usual duration.
_STEPS = {
    "": 2.0,
    "copying audio": 0.5,
    "copying rows": 1.0,
    "read-only: waiting": 8.0,
    "read-only: copying": 0.5,
    "starting in the target": 0.3,
}

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]


@pytest_asyncio.fixture(loop_scope="session")
async def deployments(service: RunningService, servers_folder: Path) -> AsyncIterator[Deployments]:
    folder = servers_folder / f"second-{uuid4().hex[:8]}"
    async with open_deployments(service, folder, API_DEADLINE_S) as opened:
        yield opened


class Moves:
    """Moves accounts with clients at work, kills some of the commands, and counts."""

    def __init__(self, deployments: Deployments) -> None:
        self.clients: list[MovingClient] = []
        self.killed_at: Counter[str] = Counter()
        self.outages_s: dict[bool, list[float]] = {False: [], True: []}
        """Longest outage of each account, by a kill of its move."""
        self._deployments = deployments
        self._random = random.Random(19)
        self._waiting: list[MovingClient] = []

    @property
    def kills(self) -> int:
        return self.killed_at.total()

    async def prepare(self) -> None:
        """Creates the accounts, some at a time."""
        free = asyncio.Semaphore(8)

        async def create(seed: int) -> None:
            async with free:
                account = await self._deployments.first.an_account()
                client = MovingClient(account, self._deployments.there(account), seed)
                self.clients.append(client)
                await client.prepare(BOXES, MESSAGES)

        await asyncio.gather(*map(create, range(ACCOUNTS)))

    async def run(self) -> None:
        """Moves all accounts, several at once."""
        self._waiting = [*self.clients]
        async with asyncio.TaskGroup() as group:
            for _ in range(MOVES_AT_ONCE):
                group.create_task(self._run_worker())

    async def _run_worker(self) -> None:
        while self._waiting:
            client, stop = self._waiting.pop(), asyncio.Event()
            working = asyncio.create_task(client.work(stop))
            try:
                was_killed = await self._move(client)
            finally:
                stop.set()
            await working
            self.outages_s[was_killed].append(max(client.outages_s, default=0.0))

    async def _move(self, client: MovingClient) -> bool:
        """Repeats the command until it ends. Returns True if it was killed."""
        was_killed = False
        while True:
            process = await self._deployments.start(client.account.account_id)
            if self._is_victim() and not await self._ends_before_kill(process):
                # The last line is the step that is interrupted.
                self.killed_at[process.lines[-1] if process.lines else "start"] += 1
                await process.kill()
                was_killed = True
                continue
            assert await process.ended() == 0, process.output
            return was_killed

    def _is_victim(self) -> bool:
        """Spreads the kills over the accounts; a move can be killed several times."""
        left = len(self._waiting) + MOVES_AT_ONCE
        return self.kills < KILLS and self._random.random() < 1.5 * (KILLS - self.kills) / left

    async def _ends_before_kill(self, process: MoveProcess) -> bool:
        """Waits for a random moment of a random step. Returns True if the process ended."""
        step, longest_s = self._random.choice(list(_STEPS.items()))
        if step and not await process.reaches(step):
            return True
        try:
            await process.ended(self._random.uniform(0, longest_s))
        except TimeoutError:
            return False
        return True


async def test_accounts_move_under_load_and_lose_nothing_when_the_moves_are_killed(
    deployments: Deployments,
) -> None:
    moves = Moves(deployments)
    await moves.prepare()
    began = time.monotonic()
    await moves.run()
    took_s = time.monotonic() - began
    await _check(deployments, moves.clients)
    _print_figures(moves, took_s)
    await asyncio.gather(*(client.close() for client in moves.clients))
    assert moves.kills >= min(KILLS, ACCOUNTS // 2)


async def _check(deployments: Deployments, clients: list[MovingClient]) -> None:
    for client in clients:
        await client.check()
    accounts = [client.account for client in clients]
    before = await events_in(deployments.first, accounts)
    after = await events_in(deployments.second, accounts)
    for client in clients:
        account_id = client.account.account_id
        _check_events(client, before[account_id], after[account_id])


def _check_events(client: MovingClient, before: list[Received], after: list[Received]) -> None:
    ids = [event.id for event in (*before, *after)]
    assert len(set(ids)) == len(ids), "an event was published twice"
    assert [_type(event) for event in before].count("account.moved") == 1
    assert _type(before[-1]) == "account.moved"
    assert before[-1].data["url"] == client.there.service.url
    assert max(event.data["epoch"] for event in before) < min(
        event.data["epoch"] for event in after
    )
    in_order = [*before[:-1], *after]
    for vmbox_id in client.boxes:
        of_box = [event for event in in_order if event.vmbox_id == vmbox_id]
        assert [event.sequence for event in of_box] == list(range(1, len(of_box) + 1))
        assert of_box[-1].data["counts"] == client.counts(vmbox_id)
    new = [event.data["message"]["media_id"] for event in in_order if _is_new(event)]
    assert sorted(new) == sorted(client.stored_ids), "each message is announced once"


def _type(event: Received) -> str:
    return ".".join(event.subject.split(".")[-2:])


def _is_new(event: Received) -> bool:
    return _type(event) == "message.new"


def _print_figures(moves: Moves, took_s: float) -> None:
    answers: Counter[str] = Counter()
    for client in moves.clients:
        answers.update(client.answers)
    print(f"\n{len(moves.clients)} accounts moved in {took_s:.0f} s, {MOVES_AT_ONCE} at once")
    print(f"answers: {dict(sorted(answers.items()))}")
    print(f"{moves.kills} kills, after the lines: {dict(moves.killed_at)}")
    for was_killed, outages_s in moves.outages_s.items():
        if outages_s:
            median, worst = statistics.median(outages_s), max(outages_s)
            name = "killed" if was_killed else "not killed"
            print(f"changes got 503 ({name}): median {median:.1f} s, worst {worst:.1f} s")
    print(f"messages: {sum(len(client.stored_ids) for client in moves.clients)}", flush=True)
