"""Where reading the outbox begins, so that a poll never walks over what was sent long ago."""

from datetime import date, timedelta

import msgspec

from service.postgres.outbox import Survey

_DAY = timedelta(days=1)


class ScanBounds(msgspec.Struct, frozen=True, kw_only=True):
    """All rows to be sent have a seq above `after` and one of the days from first to last.

    It spares the poll the index entries of sent rows, which stay until vacuum takes them, for hours
    when a long transaction elsewhere keeps it from doing so. Nothing new can appear at or below
    `settled`; nor at or below `seen`, once every transaction before `transaction` is over.
    """

    after: int
    days: tuple[date, date]
    settled: int
    seen: int
    transaction: int


def scan_bounds_of(survey: Survey, before: ScanBounds | None, seen: int) -> ScanBounds:
    """The horizon after `survey`; `seen` is the highest seq that had been read before it.

    A transaction draws a seq only when it holds its box's lock, so it has its id by then: whoever
    may still commit a seq at or below `seen` has an id below that of the survey.
    """
    settled, transaction = 0, survey.own_transaction
    if before is not None and survey.oldest_running >= before.transaction:
        settled = before.seen
    elif before is not None:
        settled, seen, transaction = before.settled, before.seen, before.transaction
    # Around midnight a row of the day before may be drawn after one of the day.
    first_day = min(survey.first_day or survey.today, survey.today) - _DAY
    return ScanBounds(
        after=settled if survey.first_seq is None else min(settled, survey.first_seq - 1),
        days=(first_day, survey.today + _DAY),
        settled=settled,
        seen=seen,
        transaction=transaction,
    )
