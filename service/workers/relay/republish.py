"""Manual republication of events. The relays then publish them again."""

from datetime import datetime, timedelta

import msgspec

from service.postgres import outbox
from service.postgres.pool import Database


class RepublicationRefused(Exception):
    """The stream would drop the events as duplicates. The text states when to retry."""


class Republication(msgspec.Struct, frozen=True, kw_only=True):
    """Number of events to be published again, and the end of their time span.

    Later events are excluded, because the stream would drop them as duplicates.
    """

    events: int
    until: datetime


async def republish_since(
    database: Database, since: datetime, *, duplicate_window_s: float
) -> Republication:
    """Marks events published at or after `since` as unsent. Their `published_seq` does not change.

    Raises RepublicationRefused if these events or an earlier republication are within the
    duplicate window of the stream, or if a republication is in progress.
    """
    window = timedelta(seconds=duplicate_window_s)
    async with database.transaction() as transaction:
        now, republished_at, in_progress = await outbox.get_republication(transaction)
        until = now - window
        if in_progress:
            raise RepublicationRefused("A republication is in progress; retry when it is complete.")
        if since >= until:
            raise RepublicationRefused(
                "The stream would drop events of that time as duplicates; "
                f"retry after {since + window:%Y-%m-%d %H:%M:%S} UTC."
            )
        if republished_at is not None and republished_at > until:
            raise RepublicationRefused(
                "Events were republished recently; "
                f"retry after {republished_at + window:%Y-%m-%d %H:%M:%S} UTC."
            )
        events = await outbox.mark_unsent_between(transaction, since, until)
    return Republication(events=events, until=until)
