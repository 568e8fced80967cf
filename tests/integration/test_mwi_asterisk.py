"""Lamps of a switch: set from the current counts, switched off with their number."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from service.domain.message import Folder
from service.postgres.messages import change_folder
from tests.support.ari import AriStub, running_ari
from tests.support.builders import RETAINED_SINCE, a_vmbox, stored
from tests.support.lamp_harness import LampHarness, delete, renumber
from tests.support.relay import all_sent
from tests.support.waiting import wait_until


@pytest_asyncio.fixture(loop_scope="session")
async def ari() -> AsyncIterator[AriStub]:
    async with running_ari() as stub:
        yield stub


async def _shows(ari: AriStub, **lit: tuple[int, int]) -> None:
    """Waits until the switch has exactly these lamps (`n100` is mailbox 100)."""
    expected = {name[1:]: counts for name, counts in lit.items()}

    async def it_does() -> bool:
        return ari.lit == expected

    await wait_until(it_does)


async def test_asterisk_gets_the_counts(lamp_harness: LampHarness, ari: AriStub) -> None:
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection, mailbox="100")
        async with lamp_harness.relay(), lamp_harness.switch(ari):
            await _shows(ari, n100=(0, 0))
            place = await stored(connection, box)
            await stored(connection, box)
            await _shows(ari, n100=(2, 0))
            await change_folder(
                connection, place, Folder.SAVED, retained_since=RETAINED_SINCE, reason="api"
            )
            await _shows(ari, n100=(1, 1))


async def test_the_lamp_of_a_previous_number_is_switched_off(
    lamp_harness: LampHarness, ari: AriStub
) -> None:
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection, mailbox="100")
        await stored(connection, box)
        async with lamp_harness.relay(), lamp_harness.switch(ari):
            await _shows(ari, n100=(1, 0))
            await renumber(connection, box, "200")
            await _shows(ari, n200=(1, 0))
            assert ("PUT", "100", 0, 0) in ari.calls
            assert ("DELETE", "100", 0, 0) in ari.calls


async def test_a_reused_number_shows_the_counts_of_its_new_box(
    lamp_harness: LampHarness, ari: AriStub
) -> None:
    async with lamp_harness.database.connection() as connection:
        first = await a_vmbox(connection, mailbox="100")
        second = await a_vmbox(connection, first.account_id, mailbox="200")
        await stored(connection, first)
        await stored(connection, second)
        await stored(connection, second)
        async with lamp_harness.relay(), lamp_harness.switch(ari):
            await _shows(ari, n100=(1, 0), n200=(2, 0))
            await renumber(connection, first, "300")
            await renumber(connection, second, "100")
            await _shows(ari, n300=(1, 0), n100=(2, 0))


async def test_the_lamp_of_a_deleted_box_is_switched_off(
    lamp_harness: LampHarness, ari: AriStub
) -> None:
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection, mailbox="100")
        await stored(connection, box)
    async with lamp_harness.relay(), lamp_harness.switch(ari):
        await _shows(ari, n100=(1, 0))
        await delete(lamp_harness.database, box)
        await _shows(ari)


async def test_asterisk_gets_the_latest_counts_after_an_outage(
    lamp_harness: LampHarness, ari: AriStub, inspector: asyncpg.Connection
) -> None:
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection, mailbox="100")
    ari.down = True
    async with lamp_harness.relay(), lamp_harness.switch(ari), lamp_harness.lamps():
        async with lamp_harness.database.connection() as connection:
            for _ in range(3):
                await stored(connection, box)
        await all_sent(inspector)
        await lamp_harness.until_correct(box)
        assert ari.lit == {}
        ari.down = False
        await _shows(ari, n100=(3, 0))
        await lamp_harness.until_all_acked("notifier-mwi-switch")
    assert {call[2:] for call in ari.calls} == {(3, 0)}


async def test_a_replay_sends_asterisk_only_the_latest_counts(
    lamp_harness: LampHarness, ari: AriStub, inspector: asyncpg.Connection
) -> None:
    async with lamp_harness.database.connection() as connection:
        box, gone = [await a_vmbox(connection, mailbox=number) for number in ("100", "200")]
        for _ in range(3):
            await stored(connection, box)
    await delete(lamp_harness.database, gone)
    async with lamp_harness.relay(), lamp_harness.switch(ari):
        await all_sent(inspector)
        await _shows(ari, n100=(3, 0))
        await lamp_harness.until_all_acked("notifier-mwi-switch")
        ari.calls.clear()
        await lamp_harness.replay("notifier-mwi-switch")
        await lamp_harness.until_all_acked("notifier-mwi-switch")
    assert ari.lit == {"100": (3, 0)}
    assert set(ari.calls) <= {("PUT", "100", 3, 0)}


async def test_two_processes_leave_asterisk_with_the_right_counts(
    lamp_harness: LampHarness, ari: AriStub, inspector: asyncpg.Connection
) -> None:
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection, mailbox="100")
    async with lamp_harness.relay(), lamp_harness.switch(ari) as first, lamp_harness.switch(ari):
        async with lamp_harness.database.connection() as connection:
            for _ in range(40):
                await stored(connection, box)
        await first.kill()
        await all_sent(inspector)
        await _shows(ari, n100=(40, 0))
    assert ari.most_at_once["100"] <= 2


async def test_one_process_sends_one_request_per_mailbox_at_a_time(
    lamp_harness: LampHarness, ari: AriStub
) -> None:
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection, mailbox="100")
        async with lamp_harness.relay(), lamp_harness.switch(ari):
            for _ in range(20):
                await stored(connection, box)
            await _shows(ari, n100=(20, 0))
    assert ari.most_at_once["100"] == 1


async def test_the_context_follows_the_mailbox_number(
    lamp_harness: LampHarness, ari: AriStub
) -> None:
    async with lamp_harness.database.connection() as connection:
        box = await a_vmbox(connection, mailbox="1/2")
    async with lamp_harness.relay(), lamp_harness.switch(ari, "vm-{account_id}"):

        async def is_cleared() -> bool:
            return ari.lit == {f"1/2@vm-{box.account_id.hex}": (0, 0)}

        await wait_until(is_cleared)
