"""Every metric of the project, each defined once with the sentence that explains it.

Nobody else makes one: whoever counts or times imports it from here. No label holds an account, a
box, an id or anything else that a caller chooses, so their number is bounded.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STATEMENT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_STORE_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_EVENT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0)
_DELIVERY_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 120.0)


class Definition(msgspec.Struct, frozen=True):
    """A metric as a table shows it. `kind` is counter, gauge or histogram."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()


DEFINITIONS: list[Definition] = []
"""All of them, in the order of this module."""


def _counter(name: str, text: str, *labels: str) -> Counter:
    DEFINITIONS.append(Definition(name, "counter", text, labels))
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    DEFINITIONS.append(Definition(name, "gauge", text, labels))
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
    DEFINITIONS.append(Definition(name, "histogram", text, labels))
    return Histogram(name, text, labels, buckets=buckets, registry=REGISTRY)


HTTP_REQUESTS = _counter(
    "aftertone_http_requests_total",
    "Requests answered, by method, route template and status; status 499 is a client that went "
    "away before its answer began, route `none` a path or method that no route has.",
    "method",
    "route",
    "status",
)
HTTP_DURATION = _histogram(
    "aftertone_http_request_duration_seconds",
    "From a request's headers to its answer's last byte, uploads and downloads included; the feeds "
    "of events are left out, since a stream lasts as long as its client.",
    "method",
    "route",
    buckets=_REQUEST_S,
)
HTTP_IN_FLIGHT = _gauge(
    "aftertone_http_requests_in_flight", "Requests being answered now, event streams included."
)
HTTP_REQUEST_BYTES = _counter(
    "aftertone_http_request_bytes_total", "Bytes of request bodies that were read."
)
HTTP_RESPONSE_BYTES = _counter(
    "aftertone_http_response_bytes_total", "Bytes of answers' bodies that were sent."
)
UPLOADS_IN_FLIGHT = _gauge(
    "aftertone_uploads_in_flight",
    "Uploads that hold one of the AFTERTONE_MAX_UPLOADS_IN_FLIGHT places now.",
)
UPLOADS_REFUSED = _counter(
    "aftertone_uploads_refused_total", "Uploads refused because every place was taken."
)

SQL_DURATION = _histogram(
    "aftertone_sql_duration_seconds",
    "Statements by their name in service/postgres/sql, failed ones too, from sending to the last "
    "row; the wait for a connection is not in it.",
    "query",
    buckets=_STATEMENT_S,
)
SQL_ERRORS = _counter(
    "aftertone_sql_errors_total",
    "Times that Postgres was away, full, too slow or refused a connection, by the kind of error; a "
    "wait for a free connection that was in vain is a TimeoutError, too.",
    "reason",
)
S3_DURATION = _histogram(
    "aftertone_s3_duration_seconds",
    "Operations on the audio store (put, get of a block, copy, delete, list of a page, head, "
    "create), retries included, failed ones too.",
    "operation",
    buckets=_STORE_S,
)
S3_ERRORS = _counter(
    "aftertone_s3_errors_total",
    "Operations that the audio store refused or did not answer in time; missing objects are none.",
    "operation",
)

RELAY_ACTIVE = _gauge(
    "aftertone_relay_active",
    "1 in the relay that publishes, 0 in those that stand by: the sum over all is 1.",
)
RELAY_STOPPED_LANES = _gauge(
    "aftertone_relay_stopped_lanes",
    "Boxes whose next event the stream did not take and whose further events wait for it.",
)
EVENTS_PUBLISHED = _counter(
    "aftertone_events_published_total",
    "Events that the stream has acknowledged, by kind; those sent again are counted again.",
    "event",
)
EVENT_LATENCY = _histogram(
    "aftertone_event_latency_seconds",
    "From what happened to the stream's acknowledgement of its event; events that are sent again "
    "are left out.",
    buckets=_EVENT_S,
)
REPUBLICATIONS = _counter(
    "aftertone_stream_republications_total",
    "Times that the stream had lost events (or is a new one) and the relay sent them again.",
)

FANNED_OUT = _counter(
    "aftertone_events_fanned_out_total",
    "Events that a channel has read and dealt out to their targets, were there any or not.",
    "channel",
)
DELIVERIES = _counter(
    "aftertone_deliveries_total",
    "Attempts by how they ended: done, ignored (nothing to do any more), retry (failed, comes "
    "again), later (not yet, no failure), dead (given up; an operator decides).",
    "channel",
    "result",
)
DELIVERY_DURATION = _histogram(
    "aftertone_delivery_duration_seconds",
    "How long attempts took, however they ended.",
    "channel",
    buckets=_DELIVERY_S,
)

BUILD_INFO = _gauge(
    "aftertone_build_info",
    "1; the labels tell what runs: our version and Python's.",
    "version",
    "python",
)
BUILD_INFO.labels(version("aftertone"), platform.python_version()).set(1)


Reading = Definition
"""A gauge that is read elsewhere, from the database or a pool, and shown while it is known."""

_READINGS: list[Reading] = []


def _reading(name: str, text: str, *labels: str) -> Reading:
    reading = Definition(name, "gauge", text, labels)
    DEFINITIONS.append(reading)
    _READINGS.append(reading)
    return reading


OUTBOX_BACKLOG = _reading(
    "aftertone_outbox_backlog",
    "Events that wait to be published, counted up to 50 000. Relays tell.",
)
OUTBOX_OLDEST = _reading(
    "aftertone_outbox_oldest_seconds",
    "The age of the oldest event that waits to be published, 0 when none does. Relays tell.",
)
DELIVERIES_DUE = _reading(
    "aftertone_deliveries_due",
    "Deliveries of a channel that are due and in nobody's hands, counted up to 50 000. Relays "
    "tell.",
    "channel",
)
DELIVERIES_OLDEST_DUE = _reading(
    "aftertone_deliveries_oldest_due_seconds",
    "For how long the delivery that waits longest has been due, 0 when none is. Relays tell.",
    "channel",
)
DELIVERIES_DEAD = _reading(
    "aftertone_deliveries_dead",
    "Deliveries of a channel that were given up and wait for an operator, counted up to "
    "50 000. Relays tell.",
    "channel",
)
COUNT_DRIFT = _reading(
    "aftertone_count_drift",
    "Boxes whose counts the last recount found wrong and set right: must be 0. Relays tell.",
)
MONTHS_AHEAD = _reading(
    "aftertone_months_ahead",
    "Months after this one that have their partition of messages; 3 are kept. Relays tell.",
)
OUTBOX_DAYS_AHEAD = _reading(
    "aftertone_outbox_days_ahead",
    "Days after today that have their partition of the outbox; 35 are kept. At 0 nothing can "
    "be stored tomorrow. Relays tell.",
)
KEEPER_LAST_SUCCESS = _reading(
    "aftertone_keeper_last_success_timestamp_seconds",
    "When a step of the keeper last ran to its end. Relays tell.",
    "step",
)
CONNECTIONS = _reading(
    "aftertone_database_connections",
    "Connections of a pool, in_use or idle.",
    "pool",
    "state",
)
CONNECTIONS_MAX = _reading(
    "aftertone_database_connections_max",
    "How many connections a pool may have.",
    "pool",
)

Values = Mapping[Reading, Mapping[tuple[str, ...], float]]
"""What was read: the value of each reading by the values of its labels, `()` when it has none."""


class _Readings(Collector):
    """Asks those who know at each scrape. What nobody knows is absent, and not 0."""

    def __init__(self) -> None:
        self.sources: list[Callable[[], Values]] = []

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [_family(reading) for reading in _READINGS]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = {reading: _family(reading) for reading in _READINGS}
        for source in self.sources:
            for reading, values in source().items():
                for labels, value in values.items():
                    families[reading].add_metric(labels, value)
        yield from (family for family in families.values() if family.samples)


def _family(reading: Reading) -> GaugeMetricFamily:
    return GaugeMetricFamily(reading.name, reading.text, labels=reading.labels)


_readings = _Readings()
REGISTRY.register(_readings)


@contextmanager
def shown(source: Callable[[], Values]) -> Iterator[None]:
    """While in the block, scrapes show what `source` answers; it must answer at once."""
    _readings.sources.append(source)
    try:
        yield
    finally:
        _readings.sources.remove(source)
