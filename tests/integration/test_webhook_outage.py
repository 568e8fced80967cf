"""A webhook target that is down for an hour; here an hour takes some seconds."""

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
from service.security import OutboundHttp, OutboundLimits
from service.workers.channels.webhook import WebhookChannel
from service.workers.notifier.timings import RETRIES_S
from tests.support.hooks import a_vmbox_event, posts_over
from tests.support.notifier import QUICK, Stage, rows_of, some_event
from tests.support.proxy import Proxy
from tests.support.relay import eventually
from tests.support.sink import Sink, a_webhook

# Of an hour that takes 20 s; busy machines need some of it.
PROMPT_S = 5.0
HOUR_S = 20.0


class Neighbours:
    """Two webhooks that are well: one of the account of the one that is down, one of another."""

    def __init__(self, stage: Stage, sink: Sink, accounts: tuple[UUID, UUID]) -> None:
        self._stage = stage
        self._accounts = accounts
        self._sent: dict[str, float] = {}
        self.waited_s: list[float] = []
        for path in ("/beside", "/other"):
            sink.acts[path] = self._take

    async def _take(self, request: web.Request) -> web.Response:
        event_id = msgspec.json.decode(await request.read())["id"]
        if event_id not in self._sent:
            return web.Response()  # what is for the one that is down, too
        self.waited_s.append(time.monotonic() - self._sent.pop(event_id))
        return web.Response()

    async def live(self, seconds: float) -> None:
        """Each has something to be told of, all the time."""
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
    stage: Stage, database: Database, *, silent: bool, events: int
) -> AsyncIterator[tuple[Sink, Webhook, str]]:
    """Over when the block begins; others were told at once, before and after."""
    account_id, other_id = uuid4(), uuid4()
    scale = HOUR_S / 3600
    pace = msgspec.structs.replace(QUICK, retries_s=[wait * scale for wait in RETRIES_S])
    async with (
        OutboundHttp.open(OutboundLimits(allow_private=True, timeout_s=0.3)) as outward,
        Sink().running() as sink,
        Proxy.before(sink.port) as line,
    ):
        posts = posts_over(outward)
        uri = f"http://127.0.0.1:{line.port}/down"
        down, secret = await a_webhook(
            database, posts, uri, account_id=account_id, hook="vmbox.updated"
        )
        for path, whose in (("/beside", account_id), ("/other", other_id)):
            await a_webhook(database, posts, sink.url(path), account_id=whose)
        neighbours = Neighbours(stage, sink, (account_id, other_id))
        async with stage.running(WebhookChannel(database, posts, concurrency=8), pace):
            if silent:
                line.freeze()
            else:
                await line.refuse()
            await stage.events.publish(*(a_vmbox_event(account_id) for _ in range(events)))
            await neighbours.live(HOUR_S)
            await eventually(neighbours.nobody_waits, PROMPT_S)
            assert sink.to("/down") == []
            await line.restore()
            await neighbours.live(HOUR_S)
            yield sink, down, secret
            await eventually(neighbours.nobody_waits)
    assert max(neighbours.waited_s) < PROMPT_S
    told = len(neighbours.waited_s)
    print(f"{told} told to others, the slowest after {max(neighbours.waited_s):.2f} s")


@pytest.mark.long
@pytest.mark.parametrize("silent", [False, True])
async def test_a_target_that_was_down_for_an_hour_delays_nobody_and_is_told_then(
    stage: Stage, database: Database, silent: bool
) -> None:
    # Eight events fail five times each, which is not often enough to disable a webhook.
    async with an_outage(stage, database, silent=silent, events=8) as outage:
        sink, down, secret = outage
        await eventually(lambda: all_are(stage, down, done=8))
    # Who was silent may still have heard what was said to it.
    told = sink.to("/down")
    assert len({one.headers["webhook-id"] for one in told}) == 8
    assert len(told) == 8 or silent
    for one in told:
        one.verify(secret)
    assert {row["attempt"] for row in await waiting_for(stage, down)} <= {5, 6}
    async with database.connection() as connection:
        now = (await rows.get_webhook(connection, down.account_id, down.webhook_id)).webhook
    assert now.enabled


async def waiting_for(stage: Stage, webhook: Webhook) -> list[asyncpg.Record]:
    found = await rows_of(stage.inspector, "webhook")
    return [row for row in found if row["target"] == webhook.webhook_id.hex]


async def all_are(stage: Stage, webhook: Webhook, **wanted: int) -> bool:
    return Counter(row["status"] for row in await waiting_for(stage, webhook)) == wanted


@pytest.mark.long
async def test_a_target_with_more_to_hear_in_that_hour_is_disabled_and_told_nothing(
    stage: Stage, database: Database
) -> None:
    async with an_outage(stage, database, silent=False, events=20) as (sink, down, _):
        assert not [row for row in await waiting_for(stage, down) if row["status"] == "pending"]
        statuses = {row["status"] for row in await waiting_for(stage, down)}
        assert statuses <= {"dropped", "ignored"}
    assert sink.to("/down") == []
    async with database.connection() as connection:
        now = (await rows.get_webhook(connection, down.account_id, down.webhook_id)).webhook
    assert (now.enabled, now.disable_reason) == (False, DisableReason.FAILURES)
