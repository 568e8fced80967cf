"""A hundred messages of the stream that are no events: no channel has anybody wait for them."""

from collections import Counter
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg

from service.domain.lamp import LampKey
from service.postgres.pool import Database
from service.security import OutboundHttp, OutboundLimits, SecretBox
from service.usecases.webhook_sender import WebhookSender
from service.workers.channels.callback import CallbackChannel
from service.workers.channels.webhook import WebhookChannel
from tests.support.accounts import a_key_ring
from tests.support.builders import a_vmbox, stored
from tests.support.dictation import Dictation
from tests.support.lamps import LampStage
from tests.support.notifier import Publisher, Stage, publisher, rows_of, some_event
from tests.support.office import Office, somebody
from tests.support.relay import eventually, running_relay
from tests.support.sink import Sink, a_webhook

SECONDS = 10


async def poison(events: Publisher, account_id: UUID) -> None:
    """A hundred: no envelope at all, and an envelope around what is no `message.new`."""
    for number in range(50):
        await events.poison(f"{account_id.hex}.{uuid4().hex}.message.new")
        await events.publish(
            some_event(account_id, type="message.new", data=b'{"message": %d}' % number)
        )


async def all_dead(inspector: asyncpg.Connection, account_id: UUID, channel: str) -> bool:
    """Whether the dead rows of a channel are these hundred."""
    rows = await rows_of(inspector, channel)
    dead = [row for row in rows if row["status"] == "dead"]
    assert {row["account_id"] for row in dead} <= {account_id}
    return len(dead) == 100


async def test_poison_before_the_webhook_channel(stage: Stage, database: Database) -> None:
    poisoned = uuid4()
    await poison(stage.events, poisoned)
    async with (
        OutboundHttp.open(OutboundLimits(allow_private=True, timeout_s=5)) as outward,
        Sink().running() as sink,
    ):
        posts = WebhookSender(
            secrets=SecretBox(a_key_ring()), outward=outward, clock=lambda: datetime.now(UTC)
        )
        well, _ = await a_webhook(database, posts, sink.url())
        await a_webhook(database, posts, sink.url("/poisoned"), account_id=poisoned)
        event = some_event(well.account_id)
        await stage.events.publish(event)

        async def is_told() -> bool:
            return bool(sink.to("/hook"))

        async with stage.running(WebhookChannel(database, posts, concurrency=8)):
            await eventually(is_told, SECONDS)
            await eventually(lambda: all_dead(stage.inspector, poisoned, "webhook"))
    assert sink.to("/poisoned") == []


async def test_poison_before_the_callback_channel(
    stage: Stage, database: Database, database_url: str
) -> None:
    poisoned = uuid4()
    await poison(stage.events, poisoned)
    callback = {"number": "+491", "schedule": [0]}
    async with database.connection() as connection:
        box = await a_vmbox(connection, notify={"callback": callback})
        await stored(connection, box)

    async def is_done() -> bool:
        rows = await rows_of(stage.inspector, "callback")
        return Counter(row["status"] for row in rows)["done"] == 1

    async with (
        running_relay(database_url, stage.servers.nats.url(), stage.stream),
        stage.running(CallbackChannel(database)),
    ):
        await eventually(is_done, SECONDS)
        await eventually(lambda: all_dead(stage.inspector, poisoned, "callback"))


async def test_poison_before_the_transcription_channel(dictation: Dictation) -> None:
    poisoned = uuid4()
    await poison(dictation.stage.events, poisoned)
    box = await dictation.a_box()

    async def is_told() -> bool:
        return bool(await dictation.told(box))

    async with dictation.relay(), dictation.stage.running(dictation.channel):
        await dictation.leave(box, "Hello.")
        await eventually(is_told, SECONDS)
        await eventually(lambda: all_dead(dictation.stage.inspector, poisoned, "transcription"))


async def test_poison_before_the_email_channel(office: Office) -> None:
    poisoned, who = uuid4(), somebody()
    box = await office.a_box(notify_email_addresses=[who])
    async with publisher(office.servers.nats.url(), office.stream) as events:
        await poison(events, poisoned)
    await office.leave(box)

    async def is_mailed() -> bool:
        return bool(office.post.to(who))

    await eventually(is_mailed, SECONDS)
    await eventually(lambda: all_dead(office.inspector, poisoned, "email"))


async def test_poison_before_the_lamps(lamp_stage: LampStage) -> None:
    async with publisher(lamp_stage.servers.nats.url(), lamp_stage.stream) as events:
        await poison(events, uuid4())
        await events.poison("nonsense")
    async with lamp_stage.database.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box)
    async with lamp_stage.relay(), lamp_stage.lamps():
        await eventually(lambda: lamp_stage.right(box), SECONDS)
        await lamp_stage.until_all_dealt_with()
        # The boxes that it names are none.
        bucket = lamp_stage.bucket
        lit = [key for key in await bucket.keys() if (await bucket.read(key)).lamp]
        assert lit == [LampKey(box.account_id, box.vmbox_id)]
