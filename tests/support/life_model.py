"""Model of the rules for stored messages, and the service that must follow them."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from service.audio.spool import Spool
from service.audio.store import AudioStore
from service.bus import Bus, StreamSettings
from service.domain.account import NO_QUOTAS, AccountFacts
from service.domain.message import (
    CallerId,
    Folder,
    MessageId,
    NewMessage,
    month_after,
    month_of,
    retained_since,
)
from service.domain.retention import Retention
from service.postgres.accounts import get_account_facts
from service.postgres.pool import Database
from service.postgres.vmboxes import delete_vmbox
from service.usecases.idempotency import Idempotency
from service.usecases.messages import Messages
from service.usecases.retention import RetentionLookup
from service.usecases.trash import Trash
from service.usecases.uploads import Upload, Uploads
from service.usecases.vmbox_trash import VmboxTrash
from service.workers.keeper import Step, StepProgress, all_steps
from tests.support.builders import Box
from tests.support.fake_time import FakeTime

DEPLOYMENT = Retention(message_days=93, deleted_days=30)
TRASH_DAYS = 7
HELD = "+49 30 1234567"
CALLERS = (HELD, "0301111111", "0302222222")
STEPS = ("expiry", "pending", "purge", "months", "orphans", "recount")
AUDIO = b"audio"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Rules of a box, as the account and the box have them."""

    message_days: int
    deleted_days: int = 30
    trash_days: int = TRASH_DAYS


class Kept(msgspec.Struct, kw_only=True):
    """Message of the model. It is removed when `removed_at` is not None."""

    id: MessageId
    key: str
    box: Box
    caller: str
    received_at: datetime
    folder: Folder
    changed_at: datetime
    removed_at: datetime | None = None


class Model:
    """Messages that must exist, by the rules alone."""

    def __init__(self, rules: dict[Box, Rules]) -> None:
        self.rules = rules
        self.boxes = list(rules)
        self.held_box = self.boxes[0]
        self.deleted: dict[Box, datetime] = {}
        self.is_holding = False
        self.messages: dict[MessageId, Kept] = {}
        self.expired = 0

    def is_held(self, message: Kept) -> bool:
        return self.is_holding and message.box == self.held_box and message.caller == HELD

    def is_expired(self, message: Kept, now: datetime) -> bool:
        rules = self.rules[message.box]
        return message.received_at < retained_since(now, rules.message_days) or (
            message.folder is Folder.DELETED
            and message.changed_at < retained_since(now, rules.deleted_days)
        )

    def visible(self, box: Box) -> list[Kept]:
        return [m for m in self.messages.values() if m.box == box and m.removed_at is None]

    def grace(self, box: Box) -> timedelta:
        return timedelta(days=self.rules[box].trash_days)

    def is_purged(self, box: Box, now: datetime) -> bool:
        """Returns True for a box that was deleted, and whose last message is purged."""
        if box not in self.deleted or self.deleted[box] >= now - self.grace(box):
            return False
        return all(message.box != box for message in self.messages.values())

    def keep(self, now: datetime) -> None:
        """Applies a complete run of the keeper."""
        for message in list(self.messages.values()):
            deleted_at = self.deleted.get(message.box)
            if message.removed_at is None and self.is_expired(message, now):
                message.removed_at = message.changed_at = now
                # The deletion of a box has announced the end of its messages.
                self.expired += deleted_at is None
            before = now - self.grace(message.box)
            if message.removed_at is None and deleted_at is not None and deleted_at < before:
                message.removed_at = deleted_at
            if message.removed_at is None or message.removed_at >= before:
                continue
            if not self.is_held(message):
                del self.messages[message.id]

    def months(self, existing: set[int], now: datetime) -> set[int]:
        """Returns the months that remain of those that exist."""
        longest = max(rules.message_days for rules in self.rules.values())
        keep_from = min(month_of(retained_since(now, longest)), month_after(month_of(now), -4))
        used = {message.id.month for message in self.messages.values()}
        return {month for month in existing if month >= keep_from or month in used}


class World:
    """The service with its database, bucket and keeper, beside the model."""

    def __init__(
        self,
        rng: random.Random,
        clock: FakeTime,
        database: Database,
        owner: Database,
        audio: AudioStore,
        accounts: dict[UUID, AccountFacts],
        model: Model,
    ) -> None:
        self.rng, self.clock, self.model = rng, clock, model
        self.owner, self.audio, self.accounts = owner, audio, accounts
        retention = RetentionLookup(database, DEPLOYMENT)
        idempotency = Idempotency(database)
        uploads = Uploads(10, 10, 1_000_000)
        self.use = Messages(database, audio, idempotency, clock, retention, 201001, uploads)
        self.trash = Trash(database, audio, idempotency, clock, retention, TRASH_DAYS)
        self.vmbox_trash = VmboxTrash(database, idempotency, clock, self.trash, NO_QUOTAS)
        self.steps = self.a_keeper()
        self.kills = 0

    def a_keeper(self) -> list[Step]:
        steps = all_steps(
            database=self.owner,
            audio=self.audio,
            clock=self.clock,
            retention=DEPLOYMENT,
            purge_grace=timedelta(days=TRASH_DAYS),
            orphan_grace=timedelta(hours=24),
            audit_max_age=timedelta(days=4000),
            # No step of this test connects to it.
            open_bus=lambda: Bus.open("", name="keeper", stream=StreamSettings()),
        )
        return [step for step in steps if step.name in STEPS]

    async def act(self) -> None:
        """Does one thing that a client does."""
        box = self.rng.choice([b for b in self.model.boxes if b not in self.model.deleted])
        match self.rng.randrange(10):
            case 0 | 1 | 2 | 3 | 4:
                await self.store(box)
            case 5 | 6:
                await self.file(box)
            case 7:
                await self.remove(box)
            case 8:
                await self.restore(box)
            case _:
                await self.purge(box)

    async def store(self, box: Box) -> None:
        caller = self.rng.choice(CALLERS)
        age = timedelta(days=self.rng.choice((0, 0, 0, 1, 5)))
        received_at = self.clock.now - age
        new = NewMessage(received_at=received_at, caller_id=CallerId(caller, "Ann"))
        with Spool(100) as spool:
            await spool.write(AUDIO)
            message = await self.use.store(
                self.accounts[box.account_id], box.vmbox_id, new, Upload(spool, "audio/mpeg")
            )
        assert message.audio is not None
        self.model.messages[message.id] = Kept(
            id=message.id,
            key=message.audio.key,
            box=box,
            caller=caller,
            received_at=received_at,
            folder=message.folder,
            changed_at=self.clock.now,
        )

    async def file(self, box: Box) -> None:
        for message in self.some(self.model.visible(box)):
            if self.model.is_expired(message, self.clock.now):
                continue
            folder = self.rng.choice(list(Folder))
            account = self.accounts[box.account_id]
            await self.use.change_folder(account, box.vmbox_id, message.id, folder)
            if folder is not message.folder:
                message.folder, message.changed_at = folder, self.clock.now

    async def remove(self, box: Box) -> None:
        for message in self.some(self.model.visible(box)):
            await self.use.remove(self.accounts[box.account_id], box.vmbox_id, message.id)
            message.removed_at = message.changed_at = self.clock.now

    def removed(self, box: Box) -> list[Kept]:
        messages = self.model.messages.values()
        return [m for m in messages if m.box == box and m.removed_at is not None]

    async def restore(self, box: Box) -> None:
        now = self.clock.now
        messages = list(self.some(self.removed(box)))
        result = await self.trash.restore(
            self.accounts[box.account_id], box.vmbox_id, [str(m.id) for m in messages]
        )
        rules = self.model.rules[box]
        expected = []
        for message in messages:
            assert message.removed_at is not None
            in_trash = message.removed_at > now - timedelta(days=rules.trash_days)
            if in_trash and message.received_at >= retained_since(now, rules.message_days):
                expected.append(message.id)
                message.removed_at, message.changed_at = None, now
        assert result.succeeded == expected

    async def purge(self, box: Box) -> None:
        messages = list(self.some(self.removed(box)))
        result = await self.trash.purge(
            self.accounts[box.account_id], box.vmbox_id, [str(m.id) for m in messages]
        )
        expected = [m.id for m in messages if not self.model.is_held(m)]
        assert result.succeeded == expected
        for message_id in expected:
            del self.model.messages[message_id]

    async def delete_box(self, box: Box) -> None:
        async with self.owner.connection() as connection:
            await delete_vmbox(connection, box.account_id, box.vmbox_id)
        self.model.deleted[box] = self.clock.now

    async def restore_box(self, box: Box) -> None:
        account = self.accounts[box.account_id]
        result = await self.vmbox_trash.restore(account, [box.vmbox_id.hex])
        assert result.succeeded == [box.vmbox_id]
        del self.model.deleted[box]

    async def change_days(self, box: Box, days: int, table: str) -> None:
        """Changes the rule of a box, or of its account, which has no other box."""
        statement = (
            f"UPDATE {table} SET document = document || $1 WHERE account_id = $2"  # noqa: S608
            + (" AND vmbox_id = $3" if table == "vmboxes" else "")
        )
        keys = (box.account_id, box.vmbox_id) if table == "vmboxes" else (box.account_id,)
        async with self.owner.connection() as connection:
            await connection.execute(statement, {"message_retention_days": days}, *keys)
            facts = await get_account_facts(connection, box.account_id)
        assert facts is not None
        self.accounts[box.account_id] = facts
        rules = self.model.rules[box]
        self.model.rules[box] = msgspec.structs.replace(rules, message_days=days)

    def some(self, messages: list[Kept]) -> Iterator[Kept]:
        yield from self.rng.sample(messages, min(len(messages), self.rng.randint(1, 3)))

    async def keep(self) -> None:
        """Runs all steps of the keeper; some are killed first, and a new keeper runs them."""
        for number in range(len(STEPS)):
            if self.rng.random() < 0.3:
                await self.kill(self.steps[number])
                self.steps = self.a_keeper()
            await self.steps[number].work(StepProgress())
        self.model.keep(self.clock.now)

    async def kill(self, step: Step) -> None:
        """Cancels a step wherever it is."""
        task = asyncio.ensure_future(step.work(StepProgress()))
        for _ in range(int(10 ** self.rng.uniform(0, 3.5))):
            if task.done():
                break
            await asyncio.sleep(0)
        self.kills += task.cancel()
        with suppress(asyncio.CancelledError):
            await task
