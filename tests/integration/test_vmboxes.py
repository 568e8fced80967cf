"""Mailboxes: numbers, PINs, concurrent changes, events."""

import asyncio
import random
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from service.domain.account import AccountFacts
from service.domain.errors import DatabaseUnavailable, Invalid, Rule, VmboxFull, VmboxNotFound
from service.domain.message import Folder
from service.domain.vmbox import Vmbox
from service.postgres.pool import Connection, Database
from service.security import SecretBox
from service.usecases.vmboxes import Vmboxes
from tests.support.accounts import a_key_ring
from tests.support.builders import (
    NOW,
    Box,
    all_at_once,
    an_account,
    an_account_row,
    audit,
    events_of,
    last_event,
    stored,
)
from tests.support.database import until_blocked


@pytest.fixture
def vmboxes(database: Database) -> Vmboxes:
    return Vmboxes(database, SecretBox(a_key_ring()), lambda: NOW)


@pytest_asyncio.fixture(loop_scope="session")
async def account(database: Database) -> AccountFacts:
    return await an_account_row(database)


def box_of(vmbox: Vmbox) -> Box:
    return Box(vmbox.account_id, vmbox.vmbox_id)


def settings(**value: Any) -> dict[str, Any]:
    return {"name": "Box", "mailbox": "100", **value}


async def refused_as_taken(making: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        await making
    assert [(problem.field, problem.rule) for problem in refusal.value.problems] == [
        ("mailbox", Rule.UNIQUE)
    ]


async def numbers_of(inspector: asyncpg.Connection, account: AccountFacts) -> list[str]:
    rows = await inspector.fetch(
        "SELECT number FROM vmbox_numbers WHERE account_id = $1 ORDER BY number",
        account.account_id,
    )
    return [row["number"] for row in rows]


async def test_a_mailbox_is_read_as_it_was_created(vmboxes: Vmboxes, account: AccountFacts) -> None:
    made = await vmboxes.create(account, settings(pin="1234", color="green", aliases=["7"]))
    assert await vmboxes.get(account, made.vmbox_id) == made
    assert (made.pin, made.settings["pin"], made.document["color"]) == ("1234", "1234", "green")
    assert (made.revision, made.counts.total) == (1, 0)


async def test_a_pin_is_encrypted_in_its_row_and_absent_from_events(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    made = await vmboxes.create(account, settings(pin="918273"))
    await vmboxes.patch(account, made.vmbox_id, {"pin": "827364"})
    await vmboxes.delete(account, made.vmbox_id)
    lying = await inspector.fetch(
        "SELECT vmboxes::text AS t FROM vmboxes UNION ALL SELECT outbox::text FROM outbox"
    )
    assert len(lying) == 4
    assert not [row for row in lying if "918273" in row["t"] or "827364" in row["t"]]
    assert all(
        "pin" not in event.data["vmbox"] for event in await events_of(inspector, box_of(made))
    )


async def test_creating_changing_and_deleting_a_mailbox_append_events(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    made = await vmboxes.create(account, settings(pin="1234"))
    box = box_of(made)
    for folder in Folder:
        await stored(inspector, box, folder=folder)
    await stored(inspector, box, audio=None)
    changed = await vmboxes.patch(account, made.vmbox_id, {"mailbox": "200", "pin": "5678"})
    gone = await vmboxes.delete(account, made.vmbox_id)
    events = await audit(inspector, box)
    assert [event.type for event in events if event.type.startswith("vmbox")] == [
        "vmbox.created",
        "vmbox.updated",
        "vmbox.deleted",
    ]
    created, updated, deleted = events[0], events[-2], events[-1]
    assert created.data["vmbox"] == {**made.document, "id": made.vmbox_id.hex}
    assert (created.data["mailbox"], created.counts) == ("100", (0, 0))
    assert updated.data["vmbox"] == {**changed.document, "id": made.vmbox_id.hex}
    assert (updated.data["mailbox"], updated.counts) == ("200", (1, 1))
    assert deleted.data["vmbox"] == {**gone.document, "id": made.vmbox_id.hex}
    assert (deleted.data["messages_removed"], deleted.counts) == (2, (0, 0))
    assert (gone.document, gone.pin) == (changed.document, "5678")


async def test_a_number_belongs_to_one_mailbox_of_an_account(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    first = await vmboxes.create(account, settings(mailbox="0100", aliases=["support", "7"]))
    for taken in ("0100", "100", "00100", "7", "007", "support"):
        await refused_as_taken(vmboxes.create(account, settings(mailbox=taken)))
        await refused_as_taken(vmboxes.create(account, settings(mailbox="300", aliases=[taken])))
    await vmboxes.create(account, settings(mailbox="Support", aliases=["1000"]))
    await vmboxes.create(await an_account_row(vmboxes.database), settings(mailbox="100"))
    assert first.document["mailbox"] == "0100"
    assert await numbers_of(inspector, account) == ["100", "1000", "7", "Support", "support"]
    assert len(await events_of(inspector, box_of(first))) == 1


async def test_a_mailbox_can_have_one_number_twice(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    made = await vmboxes.create(account, settings(mailbox="100", aliases=["0100", "100"]))
    await vmboxes.patch(account, made.vmbox_id, {"mailbox": "0100", "aliases": []})
    assert await numbers_of(inspector, account) == ["100"]


async def test_a_change_to_a_used_number_is_refused_and_changes_nothing(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    await vmboxes.create(account, settings(mailbox="100"))
    made = await vmboxes.create(account, settings(mailbox="200"))
    await refused_as_taken(vmboxes.patch(account, made.vmbox_id, {"aliases": ["0100"], "x": 1}))
    assert await vmboxes.get(account, made.vmbox_id) == made
    assert len(await audit(inspector, box_of(made))) == 1


async def test_a_removed_number_is_free_at_once(vmboxes: Vmboxes, account: AccountFacts) -> None:
    first = await vmboxes.create(account, settings(mailbox="100", aliases=["7"]))
    await vmboxes.patch(account, first.vmbox_id, {"mailbox": "101", "aliases": []})
    second = await vmboxes.create(account, settings(mailbox="100", aliases=["7"]))
    await vmboxes.delete(account, second.vmbox_id)
    await vmboxes.create(account, settings(mailbox="7", aliases=["100"]))


async def test_one_of_many_concurrent_mailboxes_gets_a_number(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    made = await asyncio.gather(
        *(vmboxes.create(account, settings(mailbox="0" * n + "100")) for n in range(8)),
        return_exceptions=True,
    )
    assert len([result for result in made if isinstance(result, Vmbox)]) == 1
    assert len([result for result in made if isinstance(result, Invalid)]) == 7
    assert await inspector.fetchval("SELECT count(*) FROM vmbox_counts") == 1
    assert await inspector.fetchval("SELECT count(*) FROM outbox") == 1


async def test_concurrent_changes_of_different_keys_are_all_kept(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    made = await vmboxes.create(account, settings())
    await asyncio.gather(
        *(vmboxes.patch(account, made.vmbox_id, {f"key_{number}": number}) for number in range(8))
    )
    after = await vmboxes.get(account, made.vmbox_id)
    assert {after.document[f"key_{number}"] for number in range(8)} == set(range(8))
    assert after.revision == 9
    assert len(await audit(inspector, box_of(made))) == 9


async def test_a_change_of_a_missing_mailbox_is_not_found(
    vmboxes: Vmboxes, account: AccountFacts
) -> None:
    made = await vmboxes.create(account, settings())
    with pytest.raises(VmboxNotFound):
        await vmboxes.get(an_account(), made.vmbox_id)
    with pytest.raises(VmboxNotFound):
        await vmboxes.delete(an_account(), made.vmbox_id)
    await vmboxes.delete(account, made.vmbox_id)
    for vmbox_id in (made.vmbox_id, uuid4()):
        with pytest.raises(VmboxNotFound):
            await vmboxes.get(account, vmbox_id)
        with pytest.raises(VmboxNotFound):
            await vmboxes.patch(account, vmbox_id, {"name": "Other"})
        with pytest.raises(VmboxNotFound):
            await vmboxes.delete(account, vmbox_id)


async def test_mailboxes_are_listed_by_name_in_pages_without_pins(
    vmboxes: Vmboxes, account: AccountFacts
) -> None:
    names = ["b", "a", "b", "C", "a", "é"]
    for number, name in enumerate(names):
        await vmboxes.create(account, settings(name=name, mailbox=str(number), pin="1234"))
    gone = await vmboxes.create(account, settings(name="aa", mailbox="99"))
    await vmboxes.delete(account, gone.vmbox_id)
    await vmboxes.create(await an_account_row(vmboxes.database), settings(name="a"))
    listed: list[Vmbox] = []
    start = None
    for _ in range(3):
        page = await vmboxes.list(account, start, 2)
        listed, start = [*listed, *page.items], page.next
    assert start is None
    assert [box.document["name"] for box in listed] == sorted(names)
    assert len({box.vmbox_id for box in listed}) == len(names)
    assert {box.pin for box in listed} == {None}


async def test_the_number_of_a_mailbox_changes_while_messages_are_stored(
    vmboxes: Vmboxes, account: AccountFacts, database: Database, inspector: asyncpg.Connection
) -> None:
    made = await vmboxes.create(account, settings())
    box = box_of(made)

    async def work(connection: Connection, _: random.Random) -> None:
        for _number in range(20):
            await stored(connection, box)

    async def renumber() -> None:
        for number in range(20):
            await vmboxes.patch(account, made.vmbox_id, {"mailbox": str(number)})

    async with asyncio.TaskGroup() as group:
        group.create_task(renumber())
        group.create_task(all_at_once(database, work))
    events = await audit(inspector, box)
    assert len([event for event in events if event.type == "vmbox.updated"]) == 20
    for event in events:
        if event.type == "message.new":
            assert event.data["message"]["to"] == f"{event.data['mailbox']}@example.com"
    assert (
        await inspector.fetchval("SELECT mailbox FROM vmbox_counts")
        == ((await vmboxes.get(account, made.vmbox_id)).document["mailbox"])
    )


async def test_a_lowered_limit_applies_to_a_store_that_waited_for_it(
    vmboxes: Vmboxes, account: AccountFacts, database: Database, inspector: asyncpg.Connection
) -> None:
    made = await vmboxes.create(account, settings())
    box = box_of(made)
    await stored(inspector, box)

    async def store() -> None:
        async with database.connection() as connection:
            await stored(connection, box)

    async with inspector.transaction():
        await inspector.execute("UPDATE vmbox_counts SET max_message_count = 1")
        waiting = asyncio.create_task(store())
        await until_blocked(inspector)
    with pytest.raises(VmboxFull):
        await waiting
    assert (await last_event(inspector, box)).type == "vmbox.full"


async def test_a_mailbox_that_is_deleted_while_its_number_changes_keeps_no_number(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    for attempt in range(10):
        made = await vmboxes.create(account, settings())
        changes = (
            vmboxes.patch(account, made.vmbox_id, {"aliases": [f"{attempt}{n}"]}) for n in range(3)
        )
        await asyncio.gather(
            *changes, vmboxes.delete(account, made.vmbox_id), return_exceptions=True
        )
        assert await numbers_of(inspector, account) == []
        await audit(inspector, box_of(made))


async def test_a_table_locked_by_a_migration_is_a_short_outage(
    vmboxes: Vmboxes, account: AccountFacts, owner: Database
) -> None:
    await vmboxes.create(account, settings())
    async with owner.connection() as connection:
        await connection.execute("ALTER TABLE vmboxes ADD COLUMN newer text")
    with pytest.raises(DatabaseUnavailable):
        await vmboxes.create(account, settings(mailbox="101"))
    await vmboxes.create(account, settings(mailbox="101"))
