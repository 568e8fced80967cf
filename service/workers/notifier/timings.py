"""The times that a notifier keeps."""

from collections.abc import Sequence

import msgspec

RETRIES_S = (120.0, 300.0, 900.0, 1800.0, 3600.0)


class NotifierTimings(msgspec.Struct, frozen=True, kw_only=True):
    """The waits before further attempts, how often to look, how long a clean stop may take.

    A lease lasts `lease_margin_s` longer than a delivery may take; the stream is asked for events
    for `fetch_s` at a time, and what a process took and did not deal out comes again `ack_wait_s`
    after it died.
    """

    retries_s: Sequence[float] = RETRIES_S
    poll_s: float = 1.0
    grace_s: float = 25.0
    lease_margin_s: float = 30.0
    fetch_s: float = 1.0
    ack_wait_s: float = 30.0
