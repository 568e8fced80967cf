"""Expiry by the rules of accounts and boxes, against a model, with a clock that tests set."""

import random
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from service.domain.message import Folder, month_of
from service.domain.retention import Retention, RetentionRule
from service.postgres.months import ensure_month
from service.postgres.pool import Connection, Database
from service.postgres.retention import get_longest_retention_days
from service.workers.keeper import StepProgress
from service.workers.keeper.expiry import Expiry
from tests.support.builders import NOW, Box, a_vmbox, an_account_row, stored
from tests.support.keeper import Killed, KilledAfter

DEFAULT = Retention(message_days=30, deleted_days=10)
RULES = (None, 5, 30, 60, 400)
LIMITS = (None, 20, 100)
AGES = (1, 4, 6, 11, 19, 21, 29, 31, 59, 61, 99, 101, 399, 401)
GRACE = timedelta(hours=1)


class Modelled(msgspec.Struct, kw_only=True):
    """A message, and what the rules say about it."""

    id: UUID
    received_at: datetime
    deleted_at: datetime | None


class ModelBox(msgspec.Struct, kw_only=True):
    """A box with the rules that apply to it, nearest last."""

    box: Box
    limit: int | None
    of_account: RetentionRule
    own: RetentionRule = RetentionRule()
    messages: list[Modelled] = []

    def remaining(self, now: datetime) -> set[UUID]:
        days = self.own.message_days or self.of_account.message_days or DEFAULT.message_days
        days = min(days, self.limit or days)
        deleted_days = self.own.deleted_days or self.of_account.deleted_days or DEFAULT.deleted_days
        return {
            message.id
            for message in self.messages
            if message.received_at >= now - timedelta(days=days) - GRACE
            and (
                message.deleted_at is None
                or message.deleted_at >= now - timedelta(days=deleted_days) - GRACE
            )
        }


def a_rule(choice: random.Random) -> RetentionRule:
    return RetentionRule(message_days=choice.choice(RULES), deleted_days=choice.choice(RULES))


def document_of(rule: RetentionRule) -> dict[str, Any]:
    days = {
        "message_retention_days": rule.message_days,
        "deleted_retention_days": rule.deleted_days,
    }
    return {key: value for key, value in days.items() if value is not None}


async def set_account(
    connection: Connection, account_id: UUID, rule: RetentionRule, limit: int | None
) -> None:
    limits = {} if limit is None else {"limits": {"message_retention_days": limit}}
    await connection.execute(
        "UPDATE accounts SET document = $2 WHERE account_id = $1",
        account_id,
        document_of(rule) | limits,
    )


async def set_vmbox(connection: Connection, box: Box, rule: RetentionRule) -> None:
    await connection.execute(
        "UPDATE vmboxes SET document = document - $3::text[] || $2 WHERE vmbox_id = $1",
        box.vmbox_id,
        document_of(rule),
        ["message_retention_days", "deleted_retention_days"],
    )


async def fill(connection: Connection, model: ModelBox, choice: random.Random) -> None:
    """Stores messages of all ages, some of them in the folder deleted for a while."""
    for age in AGES:
        received_at = NOW - timedelta(days=age)
        folder = choice.choice(list(Folder))
        place = await stored(
            connection, model.box, received_at=received_at, folder=folder, retained=True
        )
        deleted_at = None
        if folder is Folder.DELETED:
            deleted_at = received_at + timedelta(days=choice.uniform(0, age))
            await connection.execute(
                "UPDATE messages SET changed_at = $2 WHERE id = $1", place.message_id.id, deleted_at
            )
        model.messages.append(
            Modelled(id=place.message_id.id, received_at=received_at, deleted_at=deleted_at)
        )


async def build(owner: Database, choice: random.Random) -> list[ModelBox]:
    models = []
    for limit in LIMITS:
        for of_account in (RetentionRule(), a_rule(choice)):
            account = await an_account_row(owner)
            async with owner.connection() as connection:
                await set_account(connection, account.account_id, of_account, limit)
                for own in (RetentionRule(), RetentionRule(), a_rule(choice)):
                    box = await a_vmbox(connection, account.account_id)
                    await set_vmbox(connection, box, own)
                    models.append(
                        ModelBox(box=box, limit=limit, of_account=of_account, own=own, messages=[])
                    )
                    await fill(connection, models[-1], choice)
    return models


async def assert_exact(
    inspector: asyncpg.Connection, models: list[ModelBox], now: datetime
) -> None:
    for model in models:
        left = await inspector.fetch(
            "SELECT id, folder FROM messages WHERE vmbox_id = $1 AND removed_at IS NULL",
            model.box.vmbox_id,
        )
        kept = model.remaining(now)
        assert {row["id"] for row in left} == kept, model
        # A later rule does not restore what an earlier one has removed.
        model.messages = [message for message in model.messages if message.id in kept]
        counts = await inspector.fetchrow(
            "SELECT new_count, saved_count FROM vmbox_counts WHERE vmbox_id = $1",
            model.box.vmbox_id,
        )
        assert counts is not None
        folders = [row["folder"] for row in left]
        assert tuple(counts) == (folders.count("new"), folders.count("saved"))


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_exactly_the_messages_that_the_rules_keep_remain(
    owner: Database, inspector: asyncpg.Connection, seed: int
) -> None:
    choice = random.Random(seed)
    async with owner.connection() as connection:
        for age in AGES:
            await ensure_month(connection, month_of(NOW - timedelta(days=age)))
    models = await build(owner, choice)
    now = NOW
    keeper = Expiry(owner, lambda: now, DEFAULT.message_days, DEFAULT.deleted_days, batch=3)
    for hours in (0, 1, 30, 24 * 9, 24 * 20, 24 * 40):
        now = NOW + timedelta(hours=hours)
        with suppress(Killed):
            await keeper.run(KilledAfter(1))
        await keeper.run(StepProgress())
        await assert_exact(inspector, models, now)
        assert not any((await keeper.run(StepProgress())).values())
        # A change of the rules applies at the next run, in both directions.
        async with owner.connection() as connection:
            for model in choice.sample(models, 3):
                model.own = a_rule(choice)
                await set_vmbox(connection, model.box, model.own)
    await keeper.run(StepProgress())
    await assert_exact(inspector, models, now)


async def test_a_run_finds_what_expired_since_the_last_one_and_a_daily_run_the_rest(
    owner: Database,
) -> None:
    async with owner.connection() as connection:
        box = await a_vmbox(connection)
        await ensure_month(connection, month_of(NOW - timedelta(days=30)))
        edge = NOW - timedelta(days=30)
        for minutes in (0, 30, 90):
            await stored(
                connection, box, received_at=edge + timedelta(minutes=minutes), retained=True
            )
    now = NOW
    keeper = Expiry(owner, lambda: now, 30, 10)
    done = []
    for hours, expired in ((0, 0), (1, 0), (1.2, 1), (2, 1), (2.6, 1)):
        now = NOW + timedelta(hours=hours)
        done.append(((await keeper.run(StepProgress()))["messages_expired"], expired))
    assert all(actual == expired for actual, expired in done), done
    # Stored with a timestamp long before its retention: read by the first run of the next day.
    late = NOW - timedelta(days=31)
    async with owner.connection() as connection:
        await ensure_month(connection, month_of(late))
        await stored(connection, box, received_at=late)
    now = NOW + timedelta(hours=25)
    assert (await keeper.run(StepProgress()))["messages_expired"] == 1


async def test_the_longest_retention_is_that_of_all_rules(owner: Database) -> None:
    account = await an_account_row(owner)
    async with owner.connection() as connection:
        longest = [await get_longest_retention_days(connection, DEFAULT)]
        await set_account(connection, account.account_id, RetentionRule(message_days=50), None)
        longest.append(await get_longest_retention_days(connection, DEFAULT))
        box = await a_vmbox(connection, account.account_id)
        await set_vmbox(connection, box, RetentionRule(message_days=300))
        longest.append(await get_longest_retention_days(connection, DEFAULT))
        await set_account(connection, account.account_id, RetentionRule(message_days=50), 100)
        longest.append(await get_longest_retention_days(connection, DEFAULT))
        # A document of an earlier release may have any value under the key.
        for value in ("x", 0, -1, 2.5, 10**9, None, [7]):
            await connection.execute(
                "UPDATE vmboxes SET document = document || $2 WHERE vmbox_id = $1",
                box.vmbox_id,
                {"message_retention_days": value},
            )
            assert await get_longest_retention_days(connection, DEFAULT) == 50, value
    assert longest == [30, 50, 300, 100]


@pytest.mark.parametrize("state", ["read_only", "leaving", "moved", "arriving"])
async def test_messages_of_accounts_in_a_move_are_left_to_the_deployment_that_serves_them(
    owner: Database, state: str
) -> None:
    moving, other = await an_account_row(owner), await an_account_row(owner)
    async with owner.connection() as connection:
        await ensure_month(connection, month_of(NOW - timedelta(days=40)))
        for account in (moving, moving, other):
            box = await a_vmbox(connection, account.account_id)
            age = timedelta(days=40 if account is moving else 35)
            await stored(connection, box, received_at=NOW - age, retained=True)
        await set_account(connection, other.account_id, RetentionRule(), None)
        await connection.execute(
            "UPDATE accounts SET move_state = $2 WHERE account_id = $1", moving.account_id, state
        )
    # With one message per page, those of the other account come after the excluded ones.
    keeper = Expiry(owner, lambda: NOW, 30, 10, batch=1)
    assert (await keeper.run(StepProgress()))["messages_expired"] == 1
    async with owner.connection() as connection:
        await connection.execute(
            "UPDATE accounts SET move_state = NULL WHERE account_id = $1", moving.account_id
        )
    assert (await keeper.run(StepProgress()))["messages_expired"] == 2
