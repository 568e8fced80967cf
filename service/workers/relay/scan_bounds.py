"""Bounds of a scan of the outbox. They keep a poll from reading the index entries of sent rows."""

from datetime import date, timedelta

import msgspec

from service.postgres.outbox import OutboxHead

_DAY = timedelta(days=1)


class ScanBounds(msgspec.Struct, frozen=True, kw_only=True):
    """All unsent rows have a seq above `after` and a day within `days` (inclusive).

    The index entries of sent rows remain until vacuum removes them, which a long transaction can
    delay for hours. No new row has a seq <= `settled_seq`. When all transactions that
    started before `transaction` have ended, no new row has a seq <= `highest_read` either.
    """

    after: int
    days: tuple[date, date]
    settled_seq: int
    highest_read: int
    transaction: int


def next_scan_bounds(
    head: OutboxHead, previous: ScanBounds | None, highest_read: int
) -> ScanBounds:
    """Returns the bounds after `head`. `highest_read` is the highest seq read before it.

    A transaction gets its ID before it gets a seq from the sequence, because it first locks the
    box. A transaction that can still commit a seq <= `highest_read` thus has a lower ID than this
    read.
    """
    settled_seq, transaction = 0, head.own_transaction
    if previous is not None and head.oldest_running >= previous.transaction:
        settled_seq = previous.highest_read
    elif previous is not None:
        settled_seq, transaction = previous.settled_seq, previous.transaction
        highest_read = previous.highest_read
    # Around midnight, a row of the previous day can get a higher seq than one of the new day.
    first_day = min(head.first_day or head.today, head.today) - _DAY
    return ScanBounds(
        after=settled_seq if head.first_seq is None else min(settled_seq, head.first_seq - 1),
        days=(first_day, head.today + _DAY),
        settled_seq=settled_seq,
        highest_read=highest_read,
        transaction=transaction,
    )
