"""All metrics, each defined once with its help text.

Other modules import them and do not create metrics. No label has an account, a box, an id or
another value that a caller chooses, so the number of series is bounded.
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
    """Description of a metric. `kind` is counter, gauge or histogram."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()


DEFINITIONS: list[Definition] = []
"""Descriptions of all metrics, in the order of this module."""


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
    "Completed HTTP requests by method, route template and status. Status 499: the client "
    "disconnected before the response began. Route `none`: no route has this path or method.",
    "method",
    "route",
    "status",
)
HTTP_DURATION = _histogram(
    "aftertone_http_request_duration_seconds",
    "Time from the headers of a request to the last byte of its response, including uploads and "
    "downloads. Event streams are excluded.",
    "method",
    "route",
    buckets=_REQUEST_S,
)
HTTP_IN_FLIGHT = _gauge(
    "aftertone_http_requests_in_flight", "HTTP requests in progress, including event streams."
)
HTTP_CONNECTIONS = _gauge(
    "aftertone_http_connections",
    "Connections of clients, at most AFTERTONE_MAX_CONNECTIONS in each process.",
)
HTTP_CONNECTIONS_CLOSED = _counter(
    "aftertone_http_connections_closed_total",
    "Connections closed because their peer had more than AFTERTONE_MAX_CONNECTIONS_PER_PEER.",
)
EVENT_STREAMS = _gauge(
    "aftertone_event_streams",
    "Event streams in progress, at most AFTERTONE_MAX_STREAMS in each process.",
)
HTTP_REQUEST_BYTES = _counter("aftertone_http_request_bytes_total", "Bytes of request bodies read.")
HTTP_RESPONSE_BYTES = _counter(
    "aftertone_http_response_bytes_total", "Bytes of response bodies sent."
)
UPLOADS_IN_FLIGHT = _gauge(
    "aftertone_uploads_in_flight",
    "Uploads in progress, at most AFTERTONE_MAX_UPLOADS_IN_FLIGHT in each process.",
)
UPLOADS_REFUSED = _counter(
    "aftertone_uploads_refused_total", "Uploads refused because too many were in progress."
)
SIGN_INS = _counter(
    "aftertone_sign_ins_total",
    "Sign-ins with the credentials of a user by result: success, wrong (wrong credentials), locked "
    "(refused after too many wrong credentials), busy (refused because too many were in progress). "
    "Credentials that were verified in the last minute are not counted.",
    "result",
)

AUDIT_RECORDS_DROPPED = _counter(
    "aftertone_audit_records_dropped_total",
    "Audit records of refused requests, sign-ins and readings that were dropped, because too many "
    "waited for the database. Records of changes are never dropped.",
)

SQL_DURATION = _histogram(
    "aftertone_sql_duration_seconds",
    "Time from sending a statement to its last row, including failed statements, by its name in "
    "service/postgres/sql. The wait for a connection is excluded.",
    "query",
    buckets=_STATEMENT_S,
)
STANDBY_READS = _counter(
    "aftertone_standby_reads_total",
    "Reads of lists, searches and audit by the server that answered: standby, or primary because "
    "the standby was behind or down. Only with AFTERTONE_READ_DATABASE_URL.",
    "server",
)
STANDBY_LAG = _gauge(
    "aftertone_standby_lag_bytes",
    "Bytes of the log that the standby did not show yet at the last read.",
)
SQL_ERRORS = _counter(
    "aftertone_sql_errors_total",
    "Failures because Postgres was unreachable, full or too slow, by type of error. A timeout "
    "while waiting for a free connection is a TimeoutError.",
    "reason",
)
S3_DURATION = _histogram(
    "aftertone_s3_duration_seconds",
    "Duration of operations on the audio store (put, get of a block, copy, delete, list of a page, "
    "head, create), including retries and failures.",
    "operation",
    buckets=_STORE_S,
)
S3_ERRORS = _counter(
    "aftertone_s3_errors_total",
    "Operations that the audio store refused or did not answer in time. A missing object is not "
    "an error.",
    "operation",
)

AUDIO_CACHE_READS = _counter(
    "aftertone_audio_cache_reads_total",
    "Reads of a block of audio from the local cache by result: hit, or miss (then the block was "
    "read from the store). Without AFTERTONE_AUDIO_CACHE_MB there are none.",
    "result",
)

CONVERSIONS = _counter(
    "aftertone_audio_operations_total",
    "Operations of the processes that read audio by outcome: done, cancelled, or the cause of a "
    "failure (malformed, crash, cpu, memory, output, time).",
    "operation",
    "outcome",
)
CONVERSION_DURATION = _histogram(
    "aftertone_audio_operation_duration_seconds",
    "Duration of operations of the processes that read audio, without the wait in the queue.",
    "operation",
    buckets=_DELIVERY_S,
)
CONVERSION_PROCESSES = _gauge(
    "aftertone_audio_processes",
    "Processes that read audio, at most AFTERTONE_CONVERSION_PROCESSES of each process.",
)
CONVERSION_QUEUE = _gauge(
    "aftertone_audio_queue_length",
    "Operations that wait for a process that reads audio, at most AFTERTONE_CONVERSION_QUEUE.",
)

RELAY_ACTIVE = _gauge(
    "aftertone_relay_active",
    "1 in a relay that owns a shard, 0 in one that is on standby.",
)
RELAY_SHARDS = _gauge(
    "aftertone_relay_shards", "Number of shards (AFTERTONE_RELAY_SHARDS) that the relays use."
)
RELAY_SHARD_OWNED = _gauge(
    "aftertone_relay_shard_owned",
    "1 for each shard that this relay owns. The sum over all relays is 1 for each shard.",
    "shard",
)
RELAY_STOPPED_QUEUES = _gauge(
    "aftertone_relay_stopped_lanes",
    "Stopped queues: boxes whose next event could not be published. Their later events wait for "
    "it.",
)
EVENTS_PUBLISHED = _counter(
    "aftertone_events_published_total",
    "Events that the stream acknowledged, by event type. A republished event is counted again.",
    "event",
)
EVENT_LATENCY = _histogram(
    "aftertone_event_latency_seconds",
    "Time from the change that caused an event to the acknowledgement of the stream. Republished "
    "events are excluded.",
    buckets=_EVENT_S,
)
REPUBLICATIONS = _counter(
    "aftertone_stream_republications_total",
    "Times the relay republished events because the stream had lost them or was new.",
)

FANNED_OUT = _counter(
    "aftertone_events_fanned_out_total",
    "Events that a channel read and expanded into one delivery for each target.",
    "channel",
)
DELIVERIES = _counter(
    "aftertone_deliveries_total",
    "Delivery attempts by result: done, ignored (nothing left to do), retry (failed, will be "
    "retried), later (postponed, not a failure), dead (no further attempts).",
    "channel",
    "result",
)
DELIVERY_DURATION = _histogram(
    "aftertone_delivery_duration_seconds",
    "Duration of delivery attempts, successful or not.",
    "channel",
    buckets=_DELIVERY_S,
)

UNEXPECTED_ERRORS = _counter(
    "aftertone_unexpected_errors_total",
    "Unexpected errors in the loops of a relay or notifier, such as internal errors of Postgres. "
    "The process continues after a pause.",
)

BUILD_INFO = _gauge(
    "aftertone_build_info",
    "Always 1. The labels hold the versions of Aftertone and Python.",
    "version",
    "python",
)
BUILD_INFO.labels(version("aftertone"), platform.python_version()).set(1)


Reading = Definition
"""A gauge whose value is read at each scrape from a source, such as the database or a pool."""

_READINGS: list[Reading] = []


def _reading(name: str, text: str, *labels: str) -> Reading:
    reading = Definition(name, "gauge", text, labels)
    DEFINITIONS.append(reading)
    _READINGS.append(reading)
    return reading


OUTBOX_BACKLOG = _reading(
    "aftertone_outbox_backlog",
    "Events that wait to be published, counted up to 50 000. Exported by relays.",
)
OUTBOX_OLDEST = _reading(
    "aftertone_outbox_oldest_seconds",
    "Age of the oldest event that waits to be published, 0 when there is none. Exported by relays.",
)
DELIVERIES_DUE = _reading(
    "aftertone_deliveries_due",
    "Deliveries that are due and not in progress, counted up to 50 000. Exported by relays.",
    "channel",
)
DELIVERIES_OLDEST_DUE = _reading(
    "aftertone_deliveries_oldest_due_seconds",
    "How long the oldest due delivery has been due, 0 when there is none. Exported by relays.",
    "channel",
)
DELIVERIES_DEAD = _reading(
    "aftertone_deliveries_dead",
    "Deliveries without further attempts, until an operator retries them, counted up to 50 000. "
    "Exported by relays.",
    "channel",
)
COUNT_DRIFT = _reading(
    "aftertone_count_drift",
    "Boxes whose counts were wrong and were corrected by the last recount. Must be 0. Exported by "
    "relays.",
)
RELAY_SHARD_LAG = _reading(
    "aftertone_relay_shard_lag_seconds",
    "Age of the oldest event of a shard that waits to be published, 0 when there is none. "
    "Exported by relays.",
    "shard",
)
MONTHS_AHEAD = _reading(
    "aftertone_months_ahead",
    "Future months that have a partition of messages. The keeper maintains 3. Exported by relays.",
)
MONTHS_OVERDUE = _reading(
    "aftertone_months_overdue",
    "Months older than the longest retention that the keeper could not drop, because a drop was "
    "blocked, or because messages were not removed or purged within two days. Must be 0. Exported "
    "by relays.",
)
OUTBOX_DAYS_AHEAD = _reading(
    "aftertone_outbox_days_ahead",
    "Future days that have a partition of the outbox. The keeper maintains 35. At 0, no message "
    "can be stored tomorrow. Exported by relays.",
)
KEEPER_LAST_SUCCESS = _reading(
    "aftertone_keeper_last_success_timestamp_seconds",
    "Time at which a keeper step last completed. Exported by relays.",
    "step",
)
CONNECTIONS = _reading(
    "aftertone_database_connections",
    "Connections of a pool by state: in_use or idle.",
    "pool",
    "state",
)
CONNECTIONS_MAX = _reading(
    "aftertone_database_connections_max",
    "Maximum number of connections of a pool.",
    "pool",
)

Values = Mapping[Reading, Mapping[tuple[str, ...], float]]
"""Values of readings by label values; `()` for a reading without labels."""


class _ReadingsCollector(Collector):
    """Reads all sources at each scrape. A reading without a value is absent, not 0."""

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


_readings = _ReadingsCollector()
REGISTRY.register(_readings)


@contextmanager
def export_readings(source: Callable[[], Values]) -> Iterator[None]:
    """Exports the values of `source` while the block runs. `source` must not block."""
    _readings.sources.append(source)
    try:
        yield
    finally:
        _readings.sources.remove(source)
