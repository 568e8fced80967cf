"""Steps of the keeper and their schedule."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec

from service.audio.store import AudioStore
from service.bus import Bus
from service.domain.retention import Retention
from service.postgres.deliveries import delete_old_deliveries
from service.postgres.keeper import delete_expired_tokens, delete_old_claims
from service.postgres.pool import Database
from service.postgres.webhooks import delete_ended_webhooks, delete_old_attempts
from service.security import SecretBox
from service.workers.keeper.erasure import Erasures
from service.workers.keeper.expiry import Expiry, PendingExpiry
from service.workers.keeper.exports import ExportJobs
from service.workers.keeper.months import Months
from service.workers.keeper.old_rows import OldRows
from service.workers.keeper.orphans import Orphans
from service.workers.keeper.partitions import AuditPurge, Partitions
from service.workers.keeper.purge import Purge
from service.workers.keeper.recount import Recount
from service.workers.progress import StepCounts, StepProgress

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# Exceeds the clock difference between processes, so that no process still accepts a deleted token.
_TOKENS_KEPT = HOUR
_CLAIMS_KEPT = DAY
# The stream keeps an event for a week, and a republished event for another week.
_DELIVERIES_KEPT = 15 * DAY

SCHEDULE = {
    "partitions": (HOUR, 0),
    "expiry": (HOUR, 5),
    "pending": (HOUR, 60),
    "idempotency": (HOUR, 90),
    "tokens": (DAY, 120),
    "deliveries": (HOUR, 150),
    "attempts": (HOUR, 180),
    "webhooks": (DAY, 210),
    "audit": (DAY, 240),
    "purge": (DAY, 300),
    "erasure": (HOUR, 330),
    "months": (HOUR, 600),
    "orphans": (DAY, 900),
    "recount": (DAY, 1800),
    # The last step of `--once all`, because it may take long.
    "exports": (MINUTE, 20),
}
"""Interval of each step, and its delay in seconds after the start of a keeper."""


Work = Callable[[StepProgress], Awaitable[StepCounts]]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Periodic work. It is safe to kill at any point and to run in two keepers at once.

    `after` is the delay between the start of a keeper and the first run.
    """

    name: str
    work: Work
    every: timedelta
    after: timedelta


def all_steps(
    *,
    database: Database,
    audio: AudioStore,
    clock: Callable[[], datetime],
    retention: Retention,
    purge_grace: timedelta,
    orphan_grace: timedelta,
    audit_max_age: timedelta,
    open_bus: Callable[[], AbstractAsyncContextManager[Bus]],
    mail_folder: Path | None = None,
    secrets: SecretBox | None = None,
) -> tuple[Step, ...]:
    """Returns all steps in the order of SCHEDULE. `secrets` decrypts the PINs of exports."""
    old_rows = partial(OldRows, database, clock)
    months = Months(database, audio, clock, retention, purge_grace.days, orphan_grace)
    work: dict[str, Work] = {
        "partitions": Partitions(database, clock).run,
        "expiry": Expiry(
            database, clock, retention.message_days, retention.deleted_days, purge_grace
        ).run,
        "pending": PendingExpiry(database, clock).run,
        "idempotency": old_rows(delete_old_claims, max_age=_CLAIMS_KEPT).run,
        "tokens": old_rows(delete_expired_tokens, max_age=_TOKENS_KEPT).run,
        "deliveries": old_rows(delete_old_deliveries, max_age=_DELIVERIES_KEPT).run,
        "attempts": old_rows(delete_old_attempts, max_age=_DELIVERIES_KEPT).run,
        "webhooks": old_rows(delete_ended_webhooks, max_age=_DELIVERIES_KEPT).run,
        "audit": AuditPurge(database, clock, audit_max_age).run,
        "purge": Purge(database, audio, clock, purge_grace).run,
        "erasure": Erasures(database, audio, open_bus, clock, purge_grace, mail_folder).run,
        "months": months.run,
        "orphans": Orphans(database, audio, clock, orphan_grace).run,
        "recount": Recount(database).run,
        "exports": ExportJobs(database, audio, clock, purge_grace.days, secrets).run,
    }
    return tuple(
        Step(name=name, work=work[name], every=every, after=timedelta(seconds=after_s))
        for name, (every, after_s) in SCHEDULE.items()
    )
