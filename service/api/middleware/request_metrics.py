"""Counts what is seen of each request. Routes are templates, so that the labels are bounded."""

from collections.abc import Callable
from functools import cache

from service.api.middleware.access_log import RequestRecord
from service.metrics import (
    HTTP_DURATION,
    HTTP_REQUEST_BYTES,
    HTTP_REQUESTS,
    HTTP_RESPONSE_BYTES,
)

_FEEDS = "/events"


def count_request(record: RequestRecord) -> None:
    """Tells the metrics of a request that has ended."""
    _count_of(record.method, record.route, record.status)()
    if not record.route.endswith(_FEEDS):
        _timer_of(record.method, record.route)(record.duration_s)
    if record.request_bytes:
        HTTP_REQUEST_BYTES.inc(record.request_bytes)
    if record.response_bytes:
        HTTP_RESPONSE_BYTES.inc(record.response_bytes)


# Finding a series by its labels costs more than counting.
@cache
def _count_of(method: str, route: str, status: int) -> Callable[[], None]:
    return HTTP_REQUESTS.labels(method, route, str(status)).inc


@cache
def _timer_of(method: str, route: str) -> Callable[[float], None]:
    return HTTP_DURATION.labels(method, route).observe
