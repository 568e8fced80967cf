"""Batch size and intervals of a relay."""

import msgspec


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Batch size, and the intervals of polls, of the lease and of checks of the stream.

    `idle_poll_s` is the interval when no event came for `idle_after_s`. `survey_s` is the interval
    of the division of the shards, which also renews the lease.
    """

    shards: int = 4
    poll_s: float = 0.02
    idle_poll_s: float = 0.5
    idle_after_s: float = 60.0
    batch_rows: int = 1000
    lease_s: float = 3.0
    survey_s: float = 0.5
    check_stream_every_s: float = 10.0
