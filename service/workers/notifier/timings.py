"""Timings of a notifier."""

from collections.abc import Sequence

import msgspec


class NotifierTimings(msgspec.Struct, frozen=True, kw_only=True):
    """Delays before retries, polling intervals, and the grace period of a clean stop.

    A lease lasts `lease_margin_s` longer than the timeout of a delivery. A fetch waits `fetch_s`
    for events. Events that a killed process did not acknowledge are redelivered after `ack_wait_s`.
    """

    retries_s: Sequence[float]
    poll_s: float = 1.0
    grace_s: float = 25.0
    lease_margin_s: float = 30.0
    fetch_s: float = 1.0
    ack_wait_s: float = 30.0
