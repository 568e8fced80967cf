"""Merge of rows and objects: each is returned once, and pairs are found in the order of keys."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import pytest

from service.audio.keys import message_key
from service.audio.store import ListedObject
from service.domain.message import Audio
from service.postgres.verification import AudioRow
from service.workers.keeper.orphans import in_batches
from service.workers.verification.merge import merge

Item = TypeVar("Item")
MONTH = 202601


async def stream(items: Sequence[Item]) -> AsyncIterator[Item]:
    for item in items:
        yield item


def an_object(key: str) -> ListedObject:
    return ListedObject(key=key, size=5, modified=datetime(2026, 1, 1, tzinfo=UTC))


def some_of_each(rng: random.Random) -> tuple[list[AudioRow], list[ListedObject], int]:
    """Returns rows and objects in order, and the number of pairs."""
    rows, objects, pairs = [], [], 0
    owners = {(UUID(int=rng.randrange(3)), UUID(int=rng.randrange(20))) for _ in range(15)}
    for account_id, owner_id in owners:
        upload, other = UUID(int=rng.randrange(100)), UUID(int=100 + rng.randrange(100))
        key = message_key(MONTH, account_id, owner_id, upload, "mp3")
        has_row, has_object = rng.random() < 0.8, rng.random() < 0.8
        pairs += has_row and has_object
        if has_row:
            audio = Audio(key=key, content_type="audio/mpeg", size=5, sha256=b"")
            rows.append(AudioRow(account_id=account_id, id=owner_id, audio=audio, month=MONTH))
        if has_object:
            objects.append(an_object(key))
        if rng.random() < 0.3:
            objects.append(an_object(message_key(MONTH, account_id, owner_id, other, "wav")))
    if rng.random() < 0.5:
        objects.append(an_object(f"audio/{MONTH}/notes.txt"))
    rows.sort(key=lambda row: (row.account_id, row.id))
    objects.sort(key=lambda item: item.key)
    return rows, objects, pairs


@pytest.mark.parametrize("is_shuffled", [False, True])
async def test_each_row_and_object_is_returned_once(is_shuffled: bool) -> None:
    for seed in range(50):
        rng = random.Random(seed)
        rows, objects, pairs = some_of_each(rng)
        if is_shuffled:
            rng.shuffle(objects)
        matches = [match async for match in merge(stream(rows), stream(objects))]
        assert [match.row for match in matches if match.row is not None] == rows
        assert [match.object for match in matches if match.object is not None] == objects
        both = [(match.row, match.object) for match in matches if match.row and match.object]
        assert all(row.audio.key == item.key for row, item in both)
        assert is_shuffled or len(both) == pairs


async def test_items_come_in_batches_with_a_shorter_last_one() -> None:
    batches = [batch async for batch in in_batches(stream(range(7)), 3)]
    assert batches == [[0, 1, 2], [3, 4, 5], [6]]
