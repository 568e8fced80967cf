"""A hundred malformed messages delay no event in any channel."""

from collections import Counter
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg

from service.domain.lamp import LampKey
from service.postgres.pool import Database
from service.security import LOOPBACK, OutboundHttp, OutboundLimits, SecretBox
from service.usecases.webhook_sender import WebhookSender
from service.wiring.factories import lookup_slots
from service.workers.channels.callback import CallbackChannel
from service.workers.channels.webhook import WebhookChannel
from tests.support.accounts import a_key_ring
from tests.support.builders import a_vmbox, stored
from tests.support.email_harness import EmailHarness, somebody
from tests.support.lamp_harness import LampHarness
from tests.support.notifier import NotifierHarness, Publisher, publisher, rows_of, some_event
from tests.support.relay import running_relay
from tests.support.transcription_harness import TranscriptionHarness
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import WebhookReceiver, a_webhook


async def poison(events: Publisher, account_id: UUID) -> None:
    """Publishes a hundred messages: without an envelope, or with invalid data."""
    for number in range(50):
        await events.poison(f"{account_id.hex}.{uuid4().hex}.message.new")
        await events.publish(
            some_event(account_id, type="message.new", data=b'{"message": %d}' % number)
        )


async def all_dead(inspector: asyncpg.Connection, account_id: UUID, channel: str) -> bool:
    """True if the dead rows of a channel are these hundred."""
    rows = await rows_of(inspector, channel)
    dead = [row for row in rows if row["status"] == "dead"]
    assert {row["account_id"] for row in dead} <= {account_id}
    return len(dead) == 100


async def test_poison_before_the_webhook_channel(
    harness: NotifierHarness, database: Database
) -> None:
    poisoned = uuid4()
    await poison(harness.events, poisoned)
    limits = OutboundLimits(private_networks=LOOPBACK, timeout_s=5)
    async with (
        OutboundHttp.open(limits, lookup_slots(64)) as outward,
        WebhookReceiver().running() as receiver,
    ):
        posts = WebhookSender(
            secrets=SecretBox(a_key_ring()), outbound_http=outward, clock=lambda: datetime.now(UTC)
        )
        well, _ = await a_webhook(database, posts, receiver.url())
        await a_webhook(database, posts, receiver.url("/poisoned"), account_id=poisoned)
        event = some_event(well.account_id)
        await harness.events.publish(event)

        async def is_delivered() -> bool:
            return bool(receiver.to("/hook"))

        async with harness.running(WebhookChannel(database, posts, concurrency=8)):
            await wait_until(is_delivered)
            await wait_until(lambda: all_dead(harness.inspector, poisoned, "webhook"))
    assert receiver.to("/poisoned") == []


async def test_poison_before_the_callback_channel(
    harness: NotifierHarness, database: Database, database_url: str
) -> None:
    poisoned = uuid4()
    await poison(harness.events, poisoned)
    callback = {"number": "+491", "schedule": [0]}
    async with database.connection() as connection:
        box = await a_vmbox(connection, notify={"callback": callback})
        await stored(connection, box)

    async def is_done() -> bool:
        rows = await rows_of(harness.inspector, "callback")
        return Counter(row["status"] for row in rows)["done"] == 1

    async with (
        running_relay(database_url, harness.servers.nats.url(), harness.stream),
        harness.running(CallbackChannel(database)),
    ):
        await wait_until(is_done)
        await wait_until(lambda: all_dead(harness.inspector, poisoned, "callback"))


async def test_poison_before_the_transcription_channel(
    transcription_harness: TranscriptionHarness,
) -> None:
    poisoned = uuid4()
    await poison(transcription_harness.harness.events, poisoned)
    box = await transcription_harness.a_box()

    async def is_delivered() -> bool:
        return bool(await transcription_harness.transcribed_events(box))

    async with (
        transcription_harness.relay(),
        transcription_harness.harness.running(transcription_harness.channel),
    ):
        await transcription_harness.leave(box, "Hello.")
        await wait_until(is_delivered)
        await wait_until(
            lambda: all_dead(transcription_harness.harness.inspector, poisoned, "transcription")
        )


async def test_poison_before_the_email_channel(email_harness: EmailHarness) -> None:
    poisoned, who = uuid4(), somebody()
    box = await email_harness.a_box(notify_email_addresses=[who])
    async with publisher(email_harness.servers.nats.url(), email_harness.stream) as events:
        await poison(events, poisoned)
    await email_harness.leave(box)

    async def is_mailed() -> bool:
        return bool(email_harness.post.to(who))

    await wait_until(is_mailed)
    await wait_until(lambda: all_dead(email_harness.inspector, poisoned, "email"))


async def test_poison_before_the_lamps(lamp_harness: LampHarness) -> None:
    async with publisher(lamp_harness.servers.nats.url(), lamp_harness.stream) as events:
        await poison(events, uuid4())
        await events.poison("nonsense")
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection)
        await stored(connection, box)
    async with lamp_harness.relay(), lamp_harness.lamps():
        await wait_until(lambda: lamp_harness.is_correct(box))
        await lamp_harness.until_all_acked()
        # The boxes that it names are none.
        bucket = lamp_harness.bucket
        lit = [key for key in await bucket.keys() if (await bucket.read(key)).lamp]
        assert lit == [LampKey(box.account_id, box.vmbox_id)]
