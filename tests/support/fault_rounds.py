"""Rounds of failures for the long tests: load, failures, an audit and statistics."""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from tests.support.clients import Clients
from tests.support.deployment import AuditedService
from tests.support.ledger import Ledger
from tests.support.proxy import Proxy

Act = Callable[[], Awaitable[object]]


class KillPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Point at which a process is killed; `late` holds its bytes until its successor runs."""

    name: str
    proxy: Proxy
    asks: bytes
    answers: bytes | None = None
    late: bool = False


class FaultRounds:
    """Statistics over all rounds; printed with `pytest -s`."""

    def __init__(self, deployment: AuditedService, title: str, seed: int = 1) -> None:
        self.deployment = deployment
        self.figures: Counter[str] = Counter()
        self.random = random.Random(seed)
        self._title = title
        self._began = time.monotonic()
        self._slowest_s = 0.0
        self.outages_s: list[float] = []
        """Time from each failure until the service has recovered."""

    @asynccontextmanager
    async def round(self, number: int, *, all_accounts: bool = False) -> AsyncIterator[Clients]:
        """Runs clients of a new account while the block causes failures; then audits everything."""
        await self.deployment.restore()
        account, ledger = await self.deployment.an_account(), Ledger()
        await ledger.open_vmboxes(account, 4)
        clients = Clients(account, ledger, seed=number)
        async with clients.at_work(2):
            yield clients
        await self.deployment.restore()
        await self.deployment.recovered(account)
        await self.deployment.let_leases_end()
        self.figures["repeated"] += await clients.repeat_unanswered()
        findings = await self.deployment.audit(account, ledger, all_accounts=all_accounts)
        await account.http.aclose()
        self._slowest_s = max(self._slowest_s, clients.slowest_s)
        self.figures["messages"] += findings.listed
        self.figures["orphans swept"] += findings.orphans_swept
        for answer, count in clients.answers.items():
            self.figures[f"answered {answer}"] += count
        self.say(f"round {number}: {findings}")

    async def strike(self, moments: Sequence[KillPoint], kill: Act, start: Act) -> None:
        """Kills a process at one of the points or at any time, and starts it again."""
        await self.pause(0.1, 0.6)
        moment = self.random.choice([*moments, None])
        self.figures["killed"] += 1
        if moment is None:
            self.figures["at any time"] += 1
            await kill()
            await start()
            return
        nth = self.random.randint(1, 3)
        with moment.proxy.hold_at(moment.asks, moment.answers, nth) as stop:
            try:
                await stop.reached(within_s=2)
                self.figures[f"at {moment.name}"] += 1
            except TimeoutError:
                self.figures["at any time"] += 1
            await kill()
            if moment.late:
                await start()
        if not moment.late:
            await start()

    async def measure_outage(self, fail: Act, recover: Act) -> None:
        """Causes a failure, and measures the time until `recover` returns."""
        began = time.monotonic()
        await fail()
        await recover()
        self.outages_s.append(time.monotonic() - began)

    async def pause(self, least_s: float, most_s: float) -> None:
        """Waits a random time while clients work: a failure may happen at any moment."""
        await asyncio.sleep(self.random.uniform(least_s, most_s))

    def say(self, text: str) -> None:
        took_s = time.monotonic() - self._began
        print(f"{self._title} {took_s:6.1f} s  {text}", flush=True)

    def sum_up(self) -> None:
        figures = ", ".join(f"{name} {count}" for name, count in sorted(self.figures.items()))
        self.say(f"all: {figures}, slowest answer {self._slowest_s:.1f} s")
        if self.outages_s:
            median, worst = statistics.median(self.outages_s), max(self.outages_s)
            self.say(f"recovered after: median {median:.2f} s, worst {worst:.2f} s")
