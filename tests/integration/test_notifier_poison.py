"""Malformed messages of the stream: each becomes one dead row and delays no event."""

from collections import Counter
from uuid import uuid4

import pytest

from service.bus import NO_ACCOUNT, MalformedEvent, account_of, event_of, headers_of
from service.domain.events import NO_VMBOX, subject_of
from tests.support.database_errors import count_failures, failing_updates
from tests.support.notifier import FakeChannel, NotifierHarness, rows_of, settled, some_event
from tests.support.waiting import wait_until
from tests.unit.test_events import an_event


@pytest.mark.long
async def test_a_hundred_invalid_messages_become_dead_rows_and_delay_no_other(
    harness: NotifierHarness,
) -> None:
    channel = FakeChannel()
    account_id = uuid4()
    for number in range(50):
        await harness.events.poison(f"{account_id.hex}.{uuid4().hex}.message.new")
        await harness.events.publish(some_event())
        # A whole envelope around what is no `message.new`.
        wrong = b'{"message": %d}' % number if number % 2 else b'{"nul": "\\u0000"}'
        kind = "message.new" if number % 2 else "thing.happened"
        await harness.events.publish(some_event(account_id, type=kind, data=wrong))
    async with harness.running(channel):
        rows = await settled(harness.inspector, 150)
        await harness.events.replay()
        await harness.until_all_acked()
        assert await rows_of(harness.inspector) == rows
    assert Counter(row["status"] for row in rows) == {"dead": 100, "done": 50}
    dead = [row for row in rows if row["status"] == "dead"]
    assert {row["account_id"] for row in dead} == {account_id}
    assert {row["target"] for row in dead} == {""}
    assert len({row["event_id"] for row in dead}) == 100
    assert all(row["last_error"] for row in dead)
    assert len(channel.delivered) == 50


async def test_a_malformed_message_without_an_account_is_stored_under_the_zero_account(
    harness: NotifierHarness,
) -> None:
    await harness.events.poison("nonsense")
    async with harness.running(FakeChannel()):
        [row] = await settled(harness.inspector, 1)
    assert (row["status"], row["account_id"]) == ("dead", NO_ACCOUNT)


async def test_an_escaped_backslash_before_u0000_is_not_nul(harness: NotifierHarness) -> None:
    await harness.events.publish(some_event(data=rb'{"name": "\\u0000"}'))
    async with harness.running(FakeChannel()):
        [row] = await settled(harness.inspector, 1)
    assert row["status"] == "done"


def test_an_encoded_event_decodes_to_the_same_event() -> None:
    for event in (
        an_event(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        an_event(type="vmbox.full", media_id=None),
        an_event(vmbox_id=NO_VMBOX, type="account.deleted", media_id=None),
    ):
        assert event_of(subject_of(event), headers_of(event), event.data) == event


@pytest.mark.parametrize(
    ("subject", "change", "reason"),
    [
        ("", {"ce-id": ""}, "malformed"),
        ("", {"ce-id": None}, "ce-id is missing"),
        ("", {"ce-sequence": "many"}, "malformed"),
        ("", {"ce-sequence": "9" * 5000}, "malformed"),
        ("", {"ce-time": "2026-03-01"}, "malformed"),
        ("", {"ce-time": "noon"}, "malformed"),
        ("", {"ce-type": "voicemail.vmbox.full"}, "does not match the subject"),
        ("other.v1.a.b.message.new", {}, "not an event subject"),
        ("voicemail.v1.message.new", {}, "not an event subject"),
        ("voicemail.v1.a.b.message.new", {}, "no valid account"),
        (f"voicemail.v1.{'A' * 32}.{'a' * 32}.message.new", {}, "no valid account"),
        (f"voicemail.v1.{'a' * 32}.box.message.new", {}, "no valid account"),
    ],
)
def test_an_invalid_message_is_a_malformed_event(
    subject: str, change: dict[str, str | None], reason: str
) -> None:
    event = an_event()
    changed = {**headers_of(event), **change}
    headers = {name: value for name, value in changed.items() if value is not None}
    with pytest.raises(MalformedEvent, match=reason):
        event_of(subject or subject_of(event), headers, event.data)


def test_the_account_of_an_invalid_message_is_read_from_its_subject() -> None:
    account_id = uuid4()
    assert account_of(f"voicemail.v1.{account_id.hex}.x") == account_id
    assert account_of("voicemail.v1.x.y.message.new") == NO_ACCOUNT
    assert account_of("else") == NO_ACCOUNT


@pytest.mark.parametrize("sqlstate", ["XX000", "P0001"])
async def test_an_unexpected_error_of_the_database_does_not_end_the_notifier(
    harness: NotifierHarness, sqlstate: str
) -> None:
    channel, before = FakeChannel(), count_failures()
    async with harness.running(channel):
        async with failing_updates(harness.inspector, "deliveries", sqlstate):
            await harness.events.publish(some_event())
            await wait_until(lambda: count_failures() > before)
        [row] = await settled(harness.inspector, 1)
    assert row["status"] == "done"
