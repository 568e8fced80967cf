"""Box queues and scan bounds."""

from datetime import date
from uuid import uuid4

from service.postgres.outbox import OutboxHead
from service.workers.relay.box_queues import ROWS_PER_QUEUE, BoxQueues
from service.workers.relay.scan_bounds import ScanBounds, next_scan_bounds

TODAY = date(2026, 3, 2)


class Clock:
    """Clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def a_survey(
    own: int, oldest: int | None = None, first: int | None = None, first_day: date | None = None
) -> OutboxHead:
    return OutboxHead(
        today=TODAY,
        first_seq=first,
        first_day=first_day,
        oldest_running=own if oldest is None else oldest,
        own_transaction=own,
    )


def test_a_stopped_queue_backs_off_and_then_sends_only_its_first_row() -> None:
    clock = Clock()
    queues = BoxQueues(clock)
    queue = (uuid4(), uuid4())
    delays = [queues.back_off(queue, 0) for _ in range(12)]
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (0.1, 30.0)
    assert queues.list_backing_off() == [queue]
    clock.now += 30.0
    assert queues.list_backing_off() == []
    assert queues.row_limit(queue) == 1
    queues.acknowledge(queue)
    assert queues.row_limit(queue) == ROWS_PER_QUEUE
    assert queues.back_off(queue, 0) == 0.1


def test_stopped_queues_can_be_retried_at_once() -> None:
    queues = BoxQueues(Clock())
    queue = (uuid4(), uuid4())
    queues.back_off(queue, 0)
    queues.retry_now()
    assert queues.list_backing_off() == []
    assert queues.row_limit(queue) == 1


def after(*heads: tuple[OutboxHead, int]) -> ScanBounds:
    bounds: ScanBounds | None = None
    for a_head, record in heads:
        bounds = next_scan_bounds(a_head, bounds, record)
    assert bounds is not None
    return bounds


def test_reading_starts_after_the_highest_seq_when_all_earlier_transactions_have_ended() -> None:
    assert after((a_survey(10), 500)).after == 0
    assert after((a_survey(10), 500), (a_survey(20, oldest=10), 900)).after == 500


def test_a_running_transaction_keeps_the_lower_bound() -> None:
    heads = (a_survey(10), 500), (a_survey(20, oldest=9), 900), (a_survey(30, oldest=9), 950)
    assert after(*heads).after == 0
    assert after(*heads, (a_survey(40, oldest=12), 990)).after == 500


def test_the_lower_bound_is_never_above_an_unsent_row() -> None:
    first = a_survey(20, first=123)
    assert after((a_survey(10), 500), (first, 900)).after == 122
    # Sent again by hand: it lies far below what was settled long ago.
    assert after((a_survey(10), 500), (a_survey(20), 900), (a_survey(30, first=7), 950)).after == 6


def test_the_days_range_from_before_the_oldest_row_to_tomorrow() -> None:
    assert after((a_survey(10), 0)).days == (date(2026, 3, 1), date(2026, 3, 3))
    old = a_survey(10, first=1, first_day=date(2026, 2, 20))
    assert after((old, 0)).days == (date(2026, 2, 19), date(2026, 3, 3))
