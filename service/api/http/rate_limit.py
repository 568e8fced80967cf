"""How often an account may ask: a token bucket for each, counted in this process alone."""

import math
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

import msgspec

from service.domain.errors import TooManyRequests

_LONGEST_WAIT_S = 3600


class _Bucket(msgspec.Struct, frozen=True):
    """What was left at a moment; since then it fills."""

    tokens: float
    at: float


class RateLimit:
    """`burst` requests at once, then `per_s` a second for each account; 0: as many as they like.

    `clock` gives seconds and never goes back. Only buckets that are not full are remembered: at
    most those of the accounts that asked since an empty one would have filled.
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        # The one that was asked longest ago comes first.
        self._buckets: OrderedDict[UUID, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, account_id: UUID) -> None:
        """One request of this account. Raises TooManyRequests, which costs it nothing."""
        if not self._per_s:
            return
        now = self._clock()
        self._forget_full(now)
        bucket = self._buckets.get(account_id)
        tokens = self._burst if bucket is None else self._tokens(bucket, now)
        if tokens < 1:
            raise TooManyRequests(
                wait_s=math.ceil(min((1 - tokens) / self._per_s, _LONGEST_WAIT_S))
            )
        self._buckets[account_id] = _Bucket(tokens - 1, now)
        self._buckets.move_to_end(account_id)

    def _tokens(self, bucket: _Bucket, now: float) -> float:
        return min(self._burst, bucket.tokens + (now - bucket.at) * self._per_s)

    def _forget_full(self, now: float) -> None:
        """From the front: a bucket behind one that is not full yet waits for it, and no longer."""
        while self._buckets:
            account_id, bucket = next(iter(self._buckets.items()))
            if self._tokens(bucket, now) < self._burst:
                return
            del self._buckets[account_id]
