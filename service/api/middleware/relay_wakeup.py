"""Observer of requests that wakes the relay after a change."""

from service.api.middleware.access_log import RequestRecord
from service.usecases.relay_wakeup import RelayWakeup

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def wake_relay(wakeup: RelayWakeup, record: RequestRecord) -> None:
    """Wakes the relay after a request that may have written events."""
    if record.method not in _READING and record.status < 400:
        wakeup.send()
