"""Two years of stored voicemail: at each month end, exactly what the rules say remains.

Accounts have different rules, which change; one has a legal hold. Messages arrive, change their
folder, are removed, restored and purged at random. Boxes are deleted, one is restored, and one has
held messages. The steps of the keeper are killed at random points.
"""

import random
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from service.audio.store import AudioStore
from service.domain.account import AccountFacts
from service.domain.hold import Hold
from service.domain.message import Folder, MessageId, month_after, month_of
from service.postgres.accounts import get_account_facts
from service.postgres.holds import insert_hold, release_hold
from service.postgres.months import ensure_month
from service.postgres.pool import Database
from service.postgres.retention import mark_vmbox_retention
from service.workers.keeper import StepProgress
from service.workers.keeper.months import Months, MonthStatus
from service.workers.verification import Findings, Verification
from tests.support.builders import Box, a_vmbox, an_account_row, audit, events_of
from tests.support.fake_time import FakeTime
from tests.support.keeper import keys_in
from tests.support.life_model import DEPLOYMENT, HELD, TRASH_DAYS, Model, Rules, World

YEARS = 2


async def create_world(
    rng: random.Random, clock: FakeTime, database: Database, owner: Database, audio: AudioStore
) -> World:
    rules: dict[Box, Rules] = {}
    accounts: dict[UUID, AccountFacts] = {}
    documents: list[tuple[dict[str, object], list[tuple[dict[str, int], Rules]]]] = [
        ({}, [({}, Rules(message_days=93)), ({}, Rules(message_days=93))]),
        (
            {"message_retention_days": 40, "trash_days": 20, "deleted_retention_days": 10},
            [({}, Rules(message_days=40, deleted_days=10, trash_days=20))],
        ),
        (
            {"limits": {"message_retention_days": 200}, "trash_days": 2},
            [
                ({"message_retention_days": 365}, Rules(message_days=200, trash_days=2)),
                ({"message_retention_days": 5}, Rules(message_days=5, trash_days=2)),
                (
                    {"deleted_retention_days": 3},
                    Rules(message_days=93, deleted_days=3, trash_days=2),
                ),
            ],
        ),
    ]
    for document, boxes in documents:
        account_id = (await an_account_row(owner)).account_id
        async with owner.connection() as connection:
            await connection.execute(
                "UPDATE accounts SET document = $2 WHERE account_id = $1", account_id, document
            )
            for settings, box_rules in boxes:
                rules[await a_vmbox(connection, account_id, **settings)] = box_rules
            await mark_vmbox_retention(connection, account_id)
            facts = await get_account_facts(connection, account_id)
            assert facts is not None
            accounts[account_id] = facts
    return World(rng, clock, database, owner, audio, accounts, Model(rules))


async def month_tables(inspector: asyncpg.Connection) -> set[int]:
    rows = await inspector.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^messages_[0-9]+$'"
    )
    return {int(row["relname"].removeprefix("messages_")) for row in rows}


async def check(world: World, inspector: asyncpg.Connection) -> None:
    """Compares rows, audio, counts and events with the model."""
    rows = await inspector.fetch("SELECT account_id, month, id, folder, removed_at FROM messages")
    assert {
        (MessageId(row["month"], row["id"]), row["account_id"], row["folder"], row["removed_at"])
        for row in rows
    } == {
        (m.id, m.box.account_id, m.folder.value, m.removed_at)
        for m in world.model.messages.values()
    }
    assert await keys_in(world.audio) == sorted(m.key for m in world.model.messages.values())
    expired, now = 0, world.clock.now
    for box in world.model.boxes:
        is_purged = world.model.is_purged(box, now)
        events = await (events_of(inspector, box) if is_purged else audit(inspector, box))
        is_deleted = box in world.model.deleted
        folders = [] if is_deleted else [m.folder for m in world.model.visible(box)]
        assert events[-1].counts == (folders.count(Folder.NEW), folders.count(Folder.SAVED))
        expired += sum(event.data.get("reason") == "retention" for event in events)
    assert expired == world.model.expired
    left = await inspector.fetch("SELECT vmbox_id FROM vmboxes JOIN vmbox_counts USING (vmbox_id)")
    assert {row["vmbox_id"] for row in left} == {
        box.vmbox_id for box in world.model.boxes if not world.model.is_purged(box, now)
    }


async def verify(world: World) -> None:
    findings = Findings(world.clock, {})
    verification = Verification(
        world.owner,
        world.audio,
        world.clock,
        orphan_grace=timedelta(hours=24),
        account_id=None,
        sample_size=None,
        is_repairing=False,
        settle_s=0,
    )
    await verification.run(findings, lambda _label: nullcontext(StepProgress()))
    assert findings.details == []


async def apply_rare_changes(world: World, ends: int, hold: Hold) -> None:
    """Applies the changes that follow the month end of this number."""
    boxes, clock = world.model.boxes, world.clock
    match ends:
        case 4:
            async with world.owner.transaction() as connection:
                await insert_hold(connection, hold, 10)
            world.model.is_holding = True
        case 6:
            await world.delete_box(boxes[1])
            await world.keep()
            await clock.advance_to(clock.now + timedelta(days=2))
            await world.restore_box(boxes[1])
        case 8:
            await world.change_days(boxes[5], 20, "vmboxes")
        case 10:
            await world.delete_box(world.model.held_box)
        case 12:
            await world.delete_box(boxes[4])
        case 16:
            await world.change_days(boxes[2], 150, "accounts")
        case 18:
            held = [m for m in world.model.messages.values() if world.model.is_held(m)]
            long_ago = clock.now - timedelta(days=200)
            assert any(m.removed_at is not None and m.removed_at < long_ago for m in held)
            async with world.owner.connection() as connection:
                await release_hold(connection, hold.account_id, hold.hold_id)
            world.model.is_holding = False


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
async def test_at_each_month_end_exactly_what_the_rules_say_remains(
    database: Database,
    owner: Database,
    bucket: AudioStore,
    inspector: asyncpg.Connection,
    seed: int,
) -> None:
    rng = random.Random(seed)
    begin = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    clock = FakeTime(inspector, begin)
    await clock.install()
    world = await create_world(rng, clock, database, owner, bucket)
    hold = Hold(
        account_id=world.model.held_box.account_id,
        hold_id=uuid4(),
        name="case",
        reason="court order",
        vmbox_ids=(world.model.held_box.vmbox_id,),
        caller_id_number=HELD,
        created_at=begin,
    )
    months: set[int] = await month_tables(inspector)
    month, ends = month_of(begin), 0
    while ends < 12 * YEARS:
        later = clock.now + timedelta(days=rng.uniform(4, 9))
        await clock.advance_to(later.replace(microsecond=0))
        for ahead in range(-4, 4):
            if await ensure_month(inspector, month_after(month_of(clock.now), ahead)):
                months.add(month_after(month_of(clock.now), ahead))
        for _ in range(rng.randint(2, 8)):
            await world.act()
        await world.keep()
        if month_of(clock.now) == month:
            continue
        month, ends = month_of(clock.now), ends + 1
        months = world.model.months(months, clock.now)
        assert await month_tables(inspector) == months
        await check(world, inspector)
        if ends % 6 == 0:
            await verify(world)
        await apply_rare_changes(world, ends, hold)
    assert world.kills > 20
    usages = await Months(
        owner, bucket, clock, DEPLOYMENT, TRASH_DAYS, timedelta(hours=24)
    ).list_usage(StepProgress())
    assert {usage.status for usage in usages} <= {MonthStatus.IN_USE, MonthStatus.KEPT}
    assert {box for box in world.model.deleted if world.model.is_purged(box, clock.now)} == {
        world.model.held_box,
        world.model.boxes[4],
    }
