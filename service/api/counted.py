"""Counts what is seen of each request. Routes are templates, so that the labels are bounded."""

from collections.abc import Callable
from functools import cache

from service.api.observed import Observation
from service.metrics import (
    HTTP_DURATION,
    HTTP_REQUEST_BYTES,
    HTTP_REQUESTS,
    HTTP_RESPONSE_BYTES,
)

_FEEDS = "/events"


def count_request(seen: Observation) -> None:
    """Tells the metrics of a request that has ended."""
    _count_of(seen.method, seen.route, seen.status)()
    if not seen.route.endswith(_FEEDS):
        _timer_of(seen.method, seen.route)(seen.duration_s)
    if seen.request_bytes:
        HTTP_REQUEST_BYTES.inc(seen.request_bytes)
    if seen.response_bytes:
        HTTP_RESPONSE_BYTES.inc(seen.response_bytes)


# Finding a series by its labels costs more than counting.
@cache
def _count_of(method: str, route: str, status: int) -> Callable[[], None]:
    return HTTP_REQUESTS.labels(method, route, str(status)).inc


@cache
def _timer_of(method: str, route: str) -> Callable[[float], None]:
    return HTTP_DURATION.labels(method, route).observe
