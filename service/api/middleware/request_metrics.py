"""HTTP metrics. Routes are templates, so the number of label values is bounded."""

from collections.abc import Callable
from functools import cache

from service.api.middleware.access_log import RequestRecord
from service.metrics import (
    HTTP_DURATION,
    HTTP_REQUEST_BYTES,
    HTTP_REQUESTS,
    HTTP_RESPONSE_BYTES,
)

# Event streams stay open and would distort the histogram of durations.
_EVENT_FEED = "/events"


def count_request(record: RequestRecord) -> None:
    """Updates the metrics for a completed request."""
    _counter(record.method, record.route, record.status)()
    if not record.route.endswith(_EVENT_FEED):
        _timer(record.method, record.route)(record.duration_s)
    if record.request_bytes:
        HTTP_REQUEST_BYTES.inc(record.request_bytes)
    if record.response_bytes:
        HTTP_RESPONSE_BYTES.inc(record.response_bytes)


# The look-up of a series by its labels costs more than the count.
@cache
def _counter(method: str, route: str, status: int) -> Callable[[], None]:
    return HTTP_REQUESTS.labels(method, route, str(status)).inc


@cache
def _timer(method: str, route: str) -> Callable[[float], None]:
    return HTTP_DURATION.labels(method, route).observe
