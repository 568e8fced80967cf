"""The rate limit of accounts: a token bucket for each."""

from uuid import UUID, uuid4

import pytest

from service.api.http.rate_limit import RateLimit
from service.domain.errors import TooManyRequests
from service.settings import Settings

ONE, OTHER = UUID(int=1), UUID(int=2)


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def served(limit: RateLimit, account_id: UUID, requested: int = 100) -> int:
    """Returns how many of `count` requests are allowed at this moment."""
    for number in range(requested):
        try:
            limit.take(account_id)
        except TooManyRequests:
            return number
    return requested


def wait_s(limit: RateLimit, account_id: UUID) -> int:
    with pytest.raises(TooManyRequests) as refused:
        limit.take(account_id)
    return refused.value.wait_s


def test_a_burst_is_allowed_at_once(clock: Clock) -> None:
    assert served(RateLimit(0.1, 3, clock), ONE) == 3


def test_tokens_are_refilled_up_to_the_burst(clock: Clock) -> None:
    limit = RateLimit(2, 3, clock)
    served(limit, ONE)
    clock.now += 1
    assert served(limit, ONE) == 2
    clock.now += 1_000
    assert served(limit, ONE) == 3


def test_a_refusal_contains_the_whole_seconds_to_wait_and_takes_no_token(clock: Clock) -> None:
    limit = RateLimit(0.25, 1, clock)
    limit.take(ONE)
    assert [wait_s(limit, ONE) for _ in range(10)] == [4] * 10
    clock.now += 0.5
    assert wait_s(limit, ONE) == 4
    clock.now += 3.25
    assert wait_s(limit, ONE) == 1
    clock.now += 0.25
    limit.take(ONE)


def test_another_account_is_not_affected(clock: Clock) -> None:
    limit = RateLimit(1, 3, clock)
    served(limit, ONE)
    assert served(limit, OTHER) == 3


def test_an_account_may_have_its_own_rate(clock: Clock) -> None:
    limit = RateLimit(0, 3, clock)
    for _ in range(3):
        limit.take(ONE, 2)
    with pytest.raises(TooManyRequests):
        limit.take(ONE, 2)
    clock.now += 1
    limit.take(ONE, 2)
    limit.take(ONE, 2)
    assert served(limit, OTHER) == 100
    unlimited = RateLimit(1, 3, clock)
    for _ in range(100):
        unlimited.take(ONE, 0)


def test_full_buckets_are_dropped(clock: Clock) -> None:
    limit = RateLimit(1, 10, clock)
    served(limit, ONE)
    for _ in range(1_000):
        limit.take(uuid4())
        clock.now += 1
        assert len(limit) <= 11
    assert served(limit, ONE) == 10


def test_the_bucket_of_an_active_account_is_kept(clock: Clock) -> None:
    limit = RateLimit(1, 10, clock)
    assert served(limit, ONE) == 10
    for _ in range(100):
        limit.take(OTHER)
        clock.now += 1
        assert served(limit, ONE) == 1


def test_without_a_limit_no_request_is_refused_and_no_bucket_is_kept(clock: Clock) -> None:
    unset = Settings()
    limit = RateLimit(unset.rate_limit_per_s, unset.rate_limit_burst, clock)
    assert served(limit, ONE, 1_000) == 1_000
    assert len(limit) == 0
