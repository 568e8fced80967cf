"""PIN checks: the count of wrong PINs, the lock, and its event."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from service.domain.account import AccountFacts
from service.domain.errors import PinLocked, VmboxNotFound
from service.postgres.pool import Database
from service.security import SecretBox
from service.usecases.pin_check import PinChecks
from service.usecases.vmboxes import Vmboxes
from tests.support.accounts import a_key_ring
from tests.support.builders import NOW, Box, an_account, an_account_row, audit, counts_of, stored

PIN, WRONG = "1234", "4321"
LOCK_S = 900


@pytest.fixture
def checks(database: Database) -> PinChecks:
    return PinChecks(Vmboxes(database, SecretBox(a_key_ring()), lambda: NOW))


@pytest_asyncio.fixture(loop_scope="session")
async def account(database: Database) -> AccountFacts:
    return await an_account_row(database)


async def a_box(checks: PinChecks, account: AccountFacts, **settings: Any) -> Box:
    document = {"name": "Box", "mailbox": "100", "pin": PIN, **settings}
    given = {name: value for name, value in document.items() if value is not None}
    vmbox = await checks.vmboxes.create(account, given)
    return Box(account.account_id, vmbox.vmbox_id)


async def answers(checks: PinChecks, account: AccountFacts, box: Box, *pins: str) -> list[Any]:
    """Returns the answer to each PIN, or the error."""
    results: list[Any] = []
    for pin in pins:
        try:
            results.append(await checks.check(account, box.vmbox_id, pin))
        except PinLocked as locked:
            results.append(locked)
    return results


async def age(inspector: asyncpg.Connection, box: Box, **span: float) -> None:
    """Makes all wrong PINs of a box older."""
    await inspector.execute(
        """
        UPDATE vmbox_counts
        SET pin_failed_at = ARRAY(SELECT t - $2::interval FROM unnest(pin_failed_at) t ORDER BY t)
        WHERE vmbox_id = $1
        """,
        box.vmbox_id,
        timedelta(**span),
    )


async def locks_of(inspector: asyncpg.Connection, box: Box) -> list[dict[str, Any]]:
    events = await audit(inspector, box)
    return [event.data for event in events if event.type == "vmbox.pin_locked"]


async def test_the_pin_is_valid_and_every_other_text_is_not(
    checks: PinChecks, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    box = await a_box(checks, account)
    for pin, is_valid in ((PIN, True), ("123", False), ("12345", False), ("\u0661234", False)):
        assert await checks.check(account, box.vmbox_id, pin) is is_valid
    assert await locks_of(inspector, box) == []


async def test_a_box_without_a_pin_has_no_valid_one(
    checks: PinChecks, account: AccountFacts
) -> None:
    box = await a_box(checks, account, pin=None, mailbox="101")
    assert await checks.check(account, box.vmbox_id, "0000") is False


async def test_five_wrong_pins_lock_the_check_for_15_minutes_with_one_event(
    checks: PinChecks, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    box = await a_box(checks, account)
    *first, sixth, right = await answers(checks, account, box, *[WRONG] * 6, PIN)
    assert first == [False] * 5
    assert isinstance(sixth, PinLocked)
    assert isinstance(right, PinLocked)
    assert 0 < right.wait_s <= LOCK_S
    [event] = await locks_of(inspector, box)
    assert (event["wrong_pins"], event["locked_for_s"]) == (5, LOCK_S)

    await age(inspector, box, minutes=14)
    [locked] = await answers(checks, account, box, PIN)
    assert isinstance(locked, PinLocked)
    assert locked.wait_s <= 60

    await age(inspector, box, minutes=1)
    assert await answers(checks, account, box, *[WRONG] * 4, PIN) == [False] * 4 + [True]
    assert len(await locks_of(inspector, box)) == 1


async def test_only_wrong_pins_of_the_last_15_minutes_count(
    checks: PinChecks, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    box = await a_box(checks, account)
    assert await answers(checks, account, box, *[WRONG] * 3) == [False] * 3
    await age(inspector, box, minutes=10)
    assert await answers(checks, account, box, WRONG) == [False]
    await age(inspector, box, minutes=5)
    # One of the last 15 minutes is left: four more lock the check.
    *wrong, locked = await answers(checks, account, box, *[WRONG] * 5)
    assert wrong == [False] * 4
    assert isinstance(locked, PinLocked)
    assert len(await locks_of(inspector, box)) == 1


async def test_the_right_pin_ends_the_count(
    checks: PinChecks, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    box = await a_box(checks, account)
    pins = ([WRONG] * 4 + [PIN]) * 3
    assert await answers(checks, account, box, *pins) == ([False] * 4 + [True]) * 3
    assert await locks_of(inspector, box) == []


async def test_a_new_pin_ends_the_lock_and_other_changes_do_not(
    checks: PinChecks, account: AccountFacts
) -> None:
    box = await a_box(checks, account)
    await answers(checks, account, box, *[WRONG] * 5)
    await checks.vmboxes.patch(account, box.vmbox_id, {"name": "Renamed", "pin": PIN})
    [locked] = await answers(checks, account, box, PIN)
    assert isinstance(locked, PinLocked)
    await checks.vmboxes.patch(account, box.vmbox_id, {"pin": "555555"})
    assert await answers(checks, account, box, "555555", PIN) == [True, False]


async def test_20_wrong_pins_at_once_get_5_answers_and_one_event(
    checks: PinChecks, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    box = await a_box(checks, account)
    results = await asyncio.gather(*(answers(checks, account, box, WRONG) for _ in range(20)))
    wrong = [result for [result] in results if result is False]
    assert len(wrong) == 5
    assert len(await locks_of(inspector, box)) == 1


async def test_a_lock_concerns_one_box_and_no_messages(
    checks: PinChecks, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    box, other = await a_box(checks, account), await a_box(checks, account, mailbox="102")
    await answers(checks, account, box, *[WRONG] * 6)
    assert await checks.check(account, other.vmbox_id, PIN) is True
    async with checks.vmboxes.database.connection() as connection:
        await stored(connection, box)
    assert (await counts_of(inspector, box)).new_count == 1
    await audit(inspector, box)


async def test_a_box_of_another_account_or_a_deleted_one_has_no_check(
    checks: PinChecks, account: AccountFacts
) -> None:
    box = await a_box(checks, account)
    with pytest.raises(VmboxNotFound):
        await checks.check(an_account(), box.vmbox_id, PIN)
    await checks.vmboxes.delete(account, box.vmbox_id)
    with pytest.raises(VmboxNotFound):
        await checks.check(account, box.vmbox_id, PIN)
