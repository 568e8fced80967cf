"""Callback channel: requests by the plan of the box, while it has new messages."""

import re
from typing import Any

import asyncpg
import msgspec
import pytest

from service.domain.callback import DEFAULT_NUMBERS, CallbackPlan
from service.domain.events import CallbackRequested, EventType, decode_data
from service.domain.message import Folder
from service.postgres.messages import MessageKey, change_folder
from service.postgres.pool import Connection, Database
from service.workers.channels.callback import CallbackChannel
from tests.support.builders import (
    RETAINED_SINCE,
    Box,
    Recorded,
    a_vmbox,
    all_at_once,
    audit,
    events_of,
    stored,
)
from tests.support.database import TestDatabase
from tests.support.lamp_harness import delete
from tests.support.notifier import QUICK, NotifierHarness, rows_of, settled
from tests.support.relay import all_sent, everything_in, running_relay
from tests.support.waiting import wait_until

# What a killed process had in hand comes again soon.
KILLED = msgspec.structs.replace(QUICK, ack_wait_s=1.0)


class Calls:
    """Boxes with a plan, and their requests."""

    def __init__(self, harness: NotifierHarness, urls: TestDatabase, database: Database) -> None:
        self.harness = harness
        self.urls = urls
        self.database = database
        self.channel = CallbackChannel(database)

    async def a_box(self, connection: Connection, **callback: Any) -> Box:
        return await a_vmbox(connection, notify={"callback": {"number": "+491", **callback}})

    def relay(self) -> Any:
        return running_relay(self.urls.url, self.harness.servers.nats.url(), self.harness.stream)

    async def requested(self, box: Box) -> list[Recorded]:
        async with self.database.connection() as connection:
            events = await events_of(connection, box)
        return [event for event in events if event.type == "callback.requested"]

    async def until_requested(self, box: Box, times: int) -> None:
        async def so_often() -> bool:
            return len(await self.requested(box)) == times

        await wait_until(so_often)


@pytest.fixture
def calls(harness: NotifierHarness, test_database: TestDatabase, database: Database) -> Calls:
    return Calls(harness, test_database, database)


async def _listen(connection: Connection, place: MessageKey) -> None:
    await change_folder(
        connection, place, Folder.SAVED, retained_since=RETAINED_SINCE, reason="api"
    )


async def test_a_schedule_of_two_delays_makes_two_requests(
    calls: Calls, inspector: asyncpg.Connection
) -> None:
    async with calls.database.connection() as connection:
        box = await calls.a_box(connection, schedule=[0, 1], timeout_s=7)
        async with calls.relay(), calls.harness.running(calls.channel):
            place = await stored(connection, box)
            [row] = await settled(inspector, 1, channel="callback")
            await all_sent(inspector)
        assert (row["status"], row["target"]) == ("done", f"{box.vmbox_id.hex} +491")
        first, second = await calls.requested(box)
        actual = [_decoded(item) for item in (first, second)]
        assert [(item.number, item.attempt, item.timeout_s) for item in actual] == [
            ("+491", 1, 7),
            ("+491", 2, 7),
        ]
        assert {item.message.media_id for item in actual} == {str(place.message_id)}
        assert first.counts == (1, 0)
        assert [event.sequence for event in await audit(connection, box)] == [1, 2, 3, 4]
    sent = await everything_in(calls.harness.servers.nats.url(), calls.harness.stream)
    last = sent[-1]
    assert last.subject.endswith(f"{box.vmbox_id.hex}.callback.requested")
    assert last.headers["ce-subject"] == str(place.message_id)


async def test_no_request_is_made_before_the_first_delay_ends(
    calls: Calls, inspector: asyncpg.Connection
) -> None:
    async with calls.database.connection() as connection:
        box = await calls.a_box(connection, interval_s=60)
        async with calls.relay(), calls.harness.running(calls.channel):
            await stored(connection, box)
            await wait_until(lambda: _pending(inspector, 1))
            other = await calls.a_box(connection, schedule=[0])
            await stored(connection, other)
            await calls.until_requested(other, 1)
    assert await calls.requested(box) == []


async def test_a_box_without_new_messages_gets_no_call(
    calls: Calls, inspector: asyncpg.Connection
) -> None:
    async with calls.database.connection() as connection:
        box = await calls.a_box(connection, schedule=[0, 1, 0])
        async with calls.relay(), calls.harness.running(calls.channel):
            place = await stored(connection, box)
            await calls.until_requested(box, 1)
            await _listen(connection, place)
            [row] = await settled(inspector, 1, channel="callback")
    assert (row["status"], row["last_error"]) == ("ignored", "the box has no new message any more")
    assert len(await calls.requested(box)) == 1


async def test_messages_that_arrive_during_a_task_start_no_other_task(
    calls: Calls, inspector: asyncpg.Connection
) -> None:
    async with calls.database.connection() as connection:
        box = await calls.a_box(connection, schedule=[1, 0])

    async def work(connection: Connection, _: Any) -> None:
        await stored(connection, box)

    await all_at_once(calls.database, work, 8)
    async with (
        calls.relay(),
        calls.harness.running(calls.channel),
        calls.harness.running(CallbackChannel(calls.database)),
    ):
        rows = await settled(inspector, 8, channel="callback")
    assert sorted(row["status"] for row in rows) == ["done", *["ignored"] * 7]
    assert [item.data["attempt"] for item in await calls.requested(box)] == [1, 2]


@pytest.mark.parametrize(
    "callback",
    [
        {"disabled": True},
        {"number": None},
        {"number": ""},
        {"number": "sip:x@example.com"},
        {"attempts": 0},
    ],
)
async def test_a_box_without_a_plan_requests_no_call(
    calls: Calls, inspector: asyncpg.Connection, callback: dict[str, Any]
) -> None:
    async with calls.database.connection() as connection:
        parameters = {key: value for key, value in callback.items() if value is not None}
        number = {} if "number" in callback else {"number": "+491"}
        box = await a_vmbox(connection, notify={"callback": {**number, **parameters}})
        async with calls.relay(), calls.harness.running(calls.channel):
            await stored(connection, box)
            [row] = await settled(inspector, 1, channel="callback")
    assert (row["status"], row["target"]) == ("ignored", "")
    assert await calls.requested(box) == []


async def test_a_replay_of_the_stream_requests_no_further_call(
    calls: Calls, inspector: asyncpg.Connection
) -> None:
    async with calls.database.connection() as connection:
        box = await calls.a_box(connection, schedule=[0])
        async with calls.relay(), calls.harness.running(calls.channel):
            await stored(connection, box)
            await settled(inspector, 1, channel="callback")
            await calls.harness.events.replay("notifier-callback")
            await wait_until(lambda: calls.harness.has_unacked(0, "notifier-callback"))
            assert len(await rows_of(inspector, "callback")) == 1
    assert len(await calls.requested(box)) == 1


async def test_a_box_that_is_deleted_ends_its_task(
    calls: Calls, inspector: asyncpg.Connection
) -> None:
    async with calls.database.connection() as connection:
        box = await calls.a_box(connection, schedule=[0, 1])
        async with calls.relay(), calls.harness.running(calls.channel):
            await stored(connection, box)
            await calls.until_requested(box, 1)
            await delete(calls.database, box)
            [row] = await settled(inspector, 1, channel="callback")
    assert (row["status"], row["last_error"]) == ("ignored", "the box was deleted")


async def test_each_request_is_made_once_when_processes_are_killed(
    calls: Calls, inspector: asyncpg.Connection
) -> None:
    async with calls.database.connection() as connection:
        boxes = [await calls.a_box(connection, schedule=[0, 0, 0]) for _ in range(10)]
        async with calls.relay():
            for box in boxes:
                await stored(connection, box)
            await all_sent(inspector)
    for kills in range(3):
        async with calls.harness.running(CallbackChannel(calls.database), KILLED) as running:
            await wait_until(lambda least=5 * kills + 1: _requests(inspector, least))  # type: ignore[misc]
            await running.kill()
        # The leases of a process that was killed need not expire for the test.
        await inspector.execute("UPDATE deliveries SET next_at = now() WHERE status = 'pending'")
    async with calls.harness.running(calls.channel, KILLED):
        await wait_until(lambda: _finished(inspector, len(boxes)))
    for box in boxes:
        assert [item.data["attempt"] for item in await calls.requested(box)] == [1, 2, 3]


def test_defaults_are_five_requests_five_minutes_apart() -> None:
    plan = CallbackPlan.of({"notify": {"callback": {"number": "1"}}})
    assert plan == CallbackPlan(number="1", waits_s=(300,) * 5, timeout_s=20)


@pytest.mark.parametrize(
    ("pattern", "number", "is_called"),
    [
        (None, "+4420123456", True),
        (None, " 1001 ", True),
        (None, "+44 20", False),
        (None, "1001;phone-context=x", False),
        (None, "1001\n", True),
        (None, "1" * 16, False),
        (None, "\u0661\u0662", False),
        (r"[0-9]{4}", "1001", True),
        (r"[0-9]{4}", "+4420123456", False),
    ],
)
def test_only_numbers_that_match_the_pattern_are_called(
    pattern: str | None, number: str, is_called: bool
) -> None:
    numbers = DEFAULT_NUMBERS if pattern is None else re.compile(pattern)
    plan = CallbackPlan.of({"notify": {"callback": {"number": number}}}, numbers)
    assert (plan is not None) == is_called


def test_a_schedule_takes_precedence_and_its_values_are_bounded() -> None:
    parameters = {"number": "1", "schedule": [-5, 10**9], "attempts": 9, "timeout_s": 0}
    assert CallbackPlan.of({"notify": {"callback": parameters}}) == CallbackPlan(
        number="1", waits_s=(0, 7 * 86_400), timeout_s=1
    )


async def _pending(inspector: asyncpg.Connection, expected: int) -> bool:
    rows = await rows_of(inspector, "callback")
    return [row["status"] for row in rows].count("pending") == expected


async def _requests(inspector: asyncpg.Connection, least: int) -> bool:
    count = await inspector.fetchval(
        "SELECT count(*) FROM outbox WHERE type = 'callback.requested'"
    )
    return bool(count >= least)


async def _finished(inspector: asyncpg.Connection, expected: int) -> bool:
    rows = await rows_of(inspector, "callback")
    return [row["status"] for row in rows].count("done") == expected


def _decoded(event: Recorded) -> CallbackRequested:
    data = decode_data(EventType.CALLBACK_REQUESTED, msgspec.json.encode(event.data))
    assert isinstance(data, CallbackRequested)
    return data
