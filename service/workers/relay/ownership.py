"""Ownership of shards: renews the lease, acquires missing shards, and releases surplus ones."""

import asyncio
from collections.abc import Mapping

from service.domain.relay_shards import shard_of
from service.logs import get_logger
from service.metrics import RELAY_ACTIVE, RELAY_SHARD_OWNED, RELAY_SHARDS
from service.postgres.relay_shards import RelaySurvey, ShardLocks
from service.workers.relay.division import compute_changes

log = get_logger(__name__)


class ShardOwnership:
    """Buckets that this relay may publish.

    `maintain` runs in the background. Between two batches, the publisher calls `release_surplus`.
    """

    def __init__(self, locks: ShardLocks, *, survey_s: float) -> None:
        self.changes = 0
        """Number of changes of the owned buckets so far."""
        self._locks = locks
        self._survey_s = survey_s
        self._surplus: frozenset[int] = frozenset()
        self._shards: list[int] = []

    @property
    def is_held(self) -> bool:
        return self._locks.is_held

    @property
    def wakeup(self) -> asyncio.Event:
        return self._locks.wakeup

    @property
    def terms(self) -> Mapping[int, int]:
        return self._locks.terms

    @property
    def buckets(self) -> list[int]:
        """Buckets to publish, in ascending order."""
        return sorted(self._locks.terms.keys() - self._surplus)

    def may_publish(self, bucket: int) -> bool:
        """Returns False after the end of the lease, and for a bucket that is to be released."""
        return self._locks.is_held and bucket in self._locks.terms and bucket not in self._surplus

    async def maintain(self) -> None:
        """Divides the shards with the other relays, until the lease ends with an error."""
        try:
            while True:
                survey = await self._locks.survey()
                if survey is not None:
                    await self._apply_survey(survey)
                await asyncio.sleep(self._survey_s)
        finally:
            self._locks.give_up()
            self._report([], 0)

    async def release_surplus(self) -> None:
        """Releases the surplus shards. All their events in flight must be marked."""
        if self._surplus:
            surplus, self._surplus = self._surplus & self._locks.terms.keys(), frozenset()
            await self._locks.release(surplus)

    async def _apply_survey(self, survey: RelaySurvey) -> None:
        changes = compute_changes(survey, self._locks.terms)
        self._surplus = frozenset(changes.surplus)
        owned = list(changes.kept)
        for buckets in changes.missing:
            if await self._locks.acquire(buckets):
                owned.append(shard_of(buckets[0], survey.shards))
        if changes.surplus or len(owned) > len(changes.kept):
            self.changes += 1
            self._locks.wakeup.set()
        self._report(owned, survey.shards)

    def _report(self, owned: list[int], shards: int) -> None:
        RELAY_ACTIVE.set(1 if owned else 0)
        RELAY_SHARDS.set(shards)
        RELAY_SHARD_OWNED.clear()
        for shard in owned:
            RELAY_SHARD_OWNED.labels(str(shard)).set(1)
        if owned != self._shards:
            self._shards = owned
            log.info("relay shards changed", shards=owned, of=shards)
