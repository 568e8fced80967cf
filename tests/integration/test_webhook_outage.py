"""Webhook target that is down for an hour (some seconds in this test)."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from aiohttp import web

from service.domain.webhook import DisableReason, Webhook
from service.postgres import webhooks as rows
from service.postgres.pool import Database
from service.security import LOOPBACK, OutboundHttp, OutboundLimits
from service.settings.fields import Settings
from service.wiring.factories import lookup_slots
from service.workers.channels.webhook import WebhookChannel
from tests.support.notifier import QUICK, NotifierHarness, rows_of, some_event
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until
from tests.support.webhook_harness import a_vmbox_event, posts_over
from tests.support.webhook_receiver import WebhookReceiver, a_webhook

RETRIES_S = [float(delay) for delay in Settings().notifier_retries_s.split(",")]

# An hour takes 20 s here.
HOUR_S = 20.0


class Neighbours:
    """Two healthy webhooks: one of the account with the outage, one of another account."""

    def __init__(
        self, harness: NotifierHarness, receiver: WebhookReceiver, accounts: tuple[UUID, UUID]
    ) -> None:
        self._stage = harness
        self._accounts = accounts
        self._sent: dict[str, float] = {}
        self.waited_s: list[float] = []
        for path in ("/beside", "/other"):
            receiver.acts[path] = self._take

    async def _take(self, request: web.Request) -> web.Response:
        event_id = msgspec.json.decode(await request.read())["id"]
        if event_id not in self._sent:
            return web.Response()  # what is for the one that is down, too
        self.waited_s.append(time.monotonic() - self._sent.pop(event_id))
        return web.Response()

    async def live(self, seconds: float) -> None:
        """Publishes events for each webhook all the time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for account_id in self._accounts:
                event = some_event(account_id)
                self._sent[str(event.event_id)] = time.monotonic()
                await self._stage.events.publish(event)
            await asyncio.sleep(0.04)

    async def nobody_waits(self) -> bool:
        return not self._sent


@asynccontextmanager
async def an_outage(
    harness: NotifierHarness, database: Database, *, silent: bool, events: int
) -> AsyncIterator[tuple[WebhookReceiver, Webhook, str]]:
    """Simulates the outage before the block. Other targets got their events at once."""
    account_id, other_id = uuid4(), uuid4()
    scale = HOUR_S / 3600
    pace = msgspec.structs.replace(QUICK, retries_s=[wait * scale for wait in RETRIES_S])
    limits = OutboundLimits(private_networks=LOOPBACK, timeout_s=0.3)
    async with (
        OutboundHttp.open(limits, lookup_slots(64)) as outward,
        WebhookReceiver().running() as receiver,
        Proxy.before(receiver.port) as line,
    ):
        posts = posts_over(outward)
        uri = f"http://127.0.0.1:{line.port}/down"
        down, secret = await a_webhook(
            database, posts, uri, account_id=account_id, hook="vmbox.updated"
        )
        for path, whose in (("/beside", account_id), ("/other", other_id)):
            await a_webhook(database, posts, receiver.url(path), account_id=whose)
        neighbours = Neighbours(harness, receiver, (account_id, other_id))
        async with harness.running(WebhookChannel(database, posts, concurrency=8), pace):
            if silent:
                line.freeze()
            else:
                await line.refuse()
            await harness.events.publish(*(a_vmbox_event(account_id) for _ in range(events)))
            await neighbours.live(HOUR_S)
            await wait_until(neighbours.nobody_waits)
            assert receiver.to("/down") == []
            await line.restore()
            await neighbours.live(HOUR_S)
            yield receiver, down, secret
            await wait_until(neighbours.nobody_waits)
    actual = len(neighbours.waited_s)
    print(f"{actual} told to others, the slowest after {max(neighbours.waited_s):.2f} s")


@pytest.mark.long
@pytest.mark.parametrize("silent", [False, True])
async def test_a_target_that_was_down_for_an_hour_delays_no_other_and_gets_its_events_later(
    harness: NotifierHarness, database: Database, silent: bool
) -> None:
    # Eight events fail five times each, which is not often enough to disable a webhook.
    async with an_outage(harness, database, silent=silent, events=8) as outage:
        receiver, down, secret = outage
        await wait_until(lambda: all_are(harness, down, done=8))
    # Who was silent may still have heard what was said to it.
    requests = receiver.to("/down")
    assert len({event.headers["webhook-id"] for event in requests}) == 8
    assert len(requests) == 8 or silent
    for event in requests:
        event.verify(secret)
    assert {row["attempt"] for row in await waiting_for(harness, down)} <= {5, 6}
    async with database.connection() as connection:
        now = (await rows.get_webhook(connection, down.account_id, down.webhook_id)).webhook
    assert now.enabled


async def waiting_for(harness: NotifierHarness, webhook: Webhook) -> list[asyncpg.Record]:
    result = await rows_of(harness.inspector, "webhook")
    return [row for row in result if row["target"] == webhook.webhook_id.hex]


async def all_are(harness: NotifierHarness, webhook: Webhook, **expected: int) -> bool:
    return Counter(row["status"] for row in await waiting_for(harness, webhook)) == expected


@pytest.mark.long
async def test_a_target_with_too_many_failures_in_an_hour_is_disabled(
    harness: NotifierHarness, database: Database
) -> None:
    async with an_outage(harness, database, silent=False, events=20) as (receiver, down, _):
        assert not [row for row in await waiting_for(harness, down) if row["status"] == "pending"]
        statuses = {row["status"] for row in await waiting_for(harness, down)}
        assert statuses <= {"dropped", "ignored"}
    assert receiver.to("/down") == []
    async with database.connection() as connection:
        now = (await rows.get_webhook(connection, down.account_id, down.webhook_id)).webhook
    assert (now.enabled, now.disable_reason) == (False, DisableReason.FAILURES)
