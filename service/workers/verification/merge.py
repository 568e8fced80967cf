"""Merge of the rows and the objects of a month, both in the order of account and id."""

from collections.abc import AsyncIterator
from uuid import UUID

import msgspec

from service.audio.store import ListedObject
from service.postgres.verification import AudioRow
from service.workers.keeper.orphans import parse_key

_Owner = tuple[UUID, UUID]


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Row, and its object. One of them is None if the other stream has no counterpart."""

    row: AudioRow | None = None
    object: ListedObject | None = None


async def merge(
    rows: AsyncIterator[AudioRow], objects: AsyncIterator[ListedObject]
) -> AsyncIterator[Match]:
    """Yields each row and each object once. Keeps one of each in memory.

    A match without a row or object is only a candidate: the streams are read at different times,
    and a store may list objects in another order. An object with an unrecognized key has no row.
    """
    row, item = await anext(rows, None), await anext(objects, None)
    while row is not None or item is not None:
        owner = None if item is None else _owner_of(item)
        if item is not None and (owner is None or row is None or owner < _key_of(row)):
            yield Match(object=item)
            item = await anext(objects, None)
        elif row is not None and item is not None and item.key == row.audio.key:
            yield Match(row=row, object=item)
            row, item = await anext(rows, None), await anext(objects, None)
        elif row is not None and item is not None and owner == _key_of(row):
            # Another upload of the same message.
            yield Match(object=item)
            item = await anext(objects, None)
        elif row is not None:
            yield Match(row=row)
            row = await anext(rows, None)


def _key_of(row: AudioRow) -> _Owner:
    return row.account_id, row.id


def _owner_of(item: ListedObject) -> _Owner | None:
    parsed = parse_key(item.key)
    return None if parsed is None else (parsed[1].account_id, parsed[1].owner_id)
