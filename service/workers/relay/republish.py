"""Sending a span of published events again, by hand: the active relay does it with the rest."""

from datetime import datetime, timedelta

import msgspec

from service.postgres import outbox
from service.postgres.pool import Database


class RepublicationRefused(Exception):
    """The stream would drop these events as duplicates without a word; the text says until when."""


class Republication(msgspec.Struct, frozen=True, kw_only=True):
    """Events published from the time that was asked for until `until` will be sent again.

    What was published later is left out: the stream would take it for duplicates.
    """

    events: int
    until: datetime


async def republish_since(
    database: Database, since: datetime, *, duplicate_window_s: float
) -> Republication:
    """Has events that were published at or after `since` (aware) sent again, in seq order.

    Their numbers stay. Raises RepublicationRefused when the stream saw them, or the events of an
    earlier republication, within its duplicate window.
    """
    window = timedelta(seconds=duplicate_window_s)
    async with database.transaction() as transaction:
        now, republished_at, waiting = await outbox.last_republication(transaction)
        until = now - window
        if waiting:
            raise RepublicationRefused("Events are being sent again right now.")
        if since >= until:
            raise RepublicationRefused(
                "The stream still takes events of that time for duplicates; "
                f"try again after {since + window:%Y-%m-%d %H:%M:%S} UTC."
            )
        if republished_at is not None and republished_at > until:
            raise RepublicationRefused(
                "Events were sent again a moment ago; "
                f"try again after {republished_at + window:%Y-%m-%d %H:%M:%S} UTC."
            )
        events = await outbox.forget_published_between(transaction, since, until)
    return Republication(events=events, until=until)
