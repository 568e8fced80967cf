"""The steps of the keeper: what there is to do, and how often."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import msgspec

from service.audio.store import AudioStore
from service.postgres.deliveries import delete_old_deliveries
from service.postgres.keeper import delete_expired_tokens, delete_old_claims
from service.postgres.pool import Database
from service.postgres.webhooks import delete_ended_webhooks, delete_old_attempts
from service.workers.keeper.expiry import Expiry, Pending
from service.workers.keeper.old_rows import OldRows
from service.workers.keeper.orphans import Orphans
from service.workers.keeper.partitions import Partitions
from service.workers.keeper.progress import Done, Progress
from service.workers.keeper.purge import Purge
from service.workers.keeper.recount import Recount

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# Longer than the clocks of two processes differ: a token that counts for one is not forgotten.
_TOKENS_KEPT = HOUR
_CLAIMS_KEPT = DAY
# Longer than a stream may hold an event: kept a week, then sent again to be kept another week.
_DELIVERIES_KEPT = 15 * DAY


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do every so often. It may be killed anywhere, and run by two keepers at once.

    `after` the start of a keeper it is first looked at: so not all of them begin together.
    """

    name: str
    work: Callable[[Progress], Awaitable[Done]]
    every: timedelta
    after: timedelta


def all_steps(
    *,
    database: Database,
    audio: AudioStore,
    clock: Callable[[], datetime],
    retention_days: int,
    purge_grace: timedelta,
    orphan_grace: timedelta,
) -> tuple[Step, ...]:
    """Every step, in the order in which they follow each other sensibly."""
    tokens = OldRows(database, clock, delete_expired_tokens, kept=_TOKENS_KEPT)
    claims = OldRows(database, clock, delete_old_claims, kept=_CLAIMS_KEPT)
    deliveries = OldRows(database, clock, delete_old_deliveries, kept=_DELIVERIES_KEPT)
    attempts = OldRows(database, clock, delete_old_attempts, kept=_DELIVERIES_KEPT)
    webhooks = OldRows(database, clock, delete_ended_webhooks, kept=_DELIVERIES_KEPT)
    return (
        _step("partitions", Partitions(database, clock).run, HOUR, after_s=0),
        _step("expiry", Expiry(database, clock, retention_days).run, HOUR, after_s=5),
        _step("pending", Pending(database, clock).run, HOUR, after_s=60),
        _step("idempotency", claims.run, HOUR, after_s=90),
        _step("tokens", tokens.run, DAY, after_s=120),
        _step("deliveries", deliveries.run, HOUR, after_s=150),
        _step("attempts", attempts.run, HOUR, after_s=180),
        _step("webhooks", webhooks.run, DAY, after_s=210),
        _step("purge", Purge(database, audio, clock, purge_grace).run, DAY, after_s=300),
        _step("orphans", Orphans(database, audio, clock, orphan_grace).run, DAY, after_s=900),
        _step("recount", Recount(database).run, DAY, after_s=1800),
    )


def _step(
    name: str, work: Callable[[Progress], Awaitable[Done]], every: timedelta, *, after_s: int
) -> Step:
    return Step(name=name, work=work, every=every, after=timedelta(seconds=after_s))
