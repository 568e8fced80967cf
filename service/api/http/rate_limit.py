"""Rate limit of requests: a token bucket for each account, counted in this process alone."""

import math
from collections.abc import Callable
from uuid import UUID

import msgspec
from cachetools import TTLCache

from service.domain.errors import TooManyRequests

_MAX_WAIT_S = 3600
# Above it, the least recently used bucket is dropped. An account without a bucket has all tokens.
_MAX_ACCOUNTS = 50_000


class _Bucket(msgspec.Struct, frozen=True):
    """Number of tokens at the time `at` in seconds. Tokens are added from then on."""

    tokens: float
    at: float


class RateLimit:
    """Allows `burst` requests at once, then `per_s` a second for each account; 0 is no limit.

    The rate of an account may replace `per_s`. `clock` returns seconds and never goes back. A
    bucket is dropped after the time in which an empty bucket fills. At most 50 000 are kept.
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        # A rate of an account is at least 1 per second.
        fill_s = max(burst, burst / per_s if per_s else 0.0)
        self._buckets: TTLCache[UUID, _Bucket] = TTLCache(_MAX_ACCOUNTS, fill_s, timer=clock)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, account_id: UUID, own_per_s: int | None = None) -> None:
        """Takes a token for one request. Raises TooManyRequests if no token is left."""
        per_s = self._per_s if own_per_s is None else own_per_s
        if not per_s:
            return
        now = self._clock()
        bucket = self._buckets.get(account_id)
        tokens = self._burst if bucket is None else self._tokens(bucket, now, per_s)
        if tokens < 1:
            raise TooManyRequests(wait_s=math.ceil(min((1 - tokens) / per_s, _MAX_WAIT_S)))
        self._buckets[account_id] = _Bucket(tokens - 1, now)

    def _tokens(self, bucket: _Bucket, now: float, per_s: float) -> float:
        return min(self._burst, bucket.tokens + (now - bucket.at) * per_s)
