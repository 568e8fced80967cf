"""Generates deploy/chart/files/dashboard.json, the Grafana dashboard. ROWS has one line per panel."""
# ruff: noqa: E501 - the table of panels is read by columns

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "chart" / "files" / "dashboard.json"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24
# A query contains `{}` or `{+...}` where the labels of the selected deployment are inserted.
_SELECTED = 'namespace=~"$namespace"'

Query = tuple[str, str]
"""PromQL expression and legend."""


def stat(
    title: str, unit: str, text: str, query: str, *limits: float, good: str = "low"
) -> dict[str, Any]:
    """Panel with one number. Red at or above the last limit; with `good="high"`, below the first."""
    colours = ["green", "yellow", "red"] if len(limits) > 1 else ["green", "red"]
    if good == "high":
        colours.reverse()
    steps = [
        {"color": colour, "value": limit}
        for colour, limit in zip(colours, (None, *limits), strict=False)
    ]
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"}
    return _panel("stat", title, unit, text, [(query, "")], 3, 4, steps) | {"options": options}


def graph(title: str, unit: str, text: str, *queries: Query, width: int = 8) -> dict[str, Any]:
    """Panel with lines over time."""
    legend = {"displayMode": "list", "placement": "bottom"}
    options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    return _panel("timeseries", title, unit, text, queries, width, 8, []) | {"options": options}


def _panel(
    kind: str,
    title: str,
    unit: str,
    text: str,
    queries: Sequence[Query],
    width: int,
    height: int,
    steps: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": _SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": _expand(query),
                "legendFormat": legend,
            }
            for number, (query, legend) in enumerate(queries)
        ],
    }


def _expand(query: str) -> str:
    return query.replace("{}", f"{{{_SELECTED}}}").replace("{+", f"{{{_SELECTED}, ")


def quantile(share: float, metric: str, by: str, more: str = "{}") -> str:
    rate = f"sum by (le{', ' + by if by else ''}) (rate({metric}_bucket{more}[$__rate_interval]))"
    return f"histogram_quantile({share}, {rate})"


def rate(metric: str, by: str, more: str = "{}") -> str:
    return f"sum by ({by}) (rate({metric}{more}[$__rate_interval]))"


_HTTP = "aftertone_http_request_duration_seconds"
_ERRORS = (
    'sum(rate(aftertone_http_requests_total{+status=~"5.."}[$__rate_interval]))'
    " / sum(rate(aftertone_http_requests_total{}[$__rate_interval]))"
)
_READS = '{+method="GET", route!~".*/(raw|audio)"}'

ROWS: dict[str, list[dict[str, Any]]] = {
    "Now": [
        stat("Requests", "reqps", "Completed requests.", "sum(rate(aftertone_http_requests_total{}[$__rate_interval]))"),
        stat("Errors", "percentunit", "Share of 5xx. Objective: below 0.1 %.", f"{_ERRORS} or vector(0)", 0.001, 0.0144),
        stat("Reads, p99", "s", "GET without audio. Objective: below 0.5 s.", quantile(0.99, _HTTP, "", _READS), 0.25, 0.5),
        stat("Oldest event", "s", "Age of the oldest unpublished event.", "max(aftertone_outbox_oldest_seconds{})", 10, 60),
        stat("Shards without relay", "none", "Must be 0, except for seconds after a relay has ended.", "max(aftertone_relay_shards{}) - (sum(aftertone_relay_shard_owned{}) or vector(0))", 1),
        stat("Dead deliveries", "none", "List them with `aftertone deliveries list --status dead`.", "sum(max by (channel) (aftertone_deliveries_dead{}))", 1, 100),
        stat("Outbox days ahead", "none", "The keeper maintains 35. At 0, no message can be stored tomorrow.", "max(aftertone_outbox_days_ahead{})", 2, 21, good="high"),
        stat("Count drift", "none", "Boxes corrected by the last recount. Must be 0.", "max(aftertone_count_drift{})", 1),
    ],
    "Traffic and errors": [
        graph("Requests by status", "reqps", "499: the client disconnected before the response.", (rate("aftertone_http_requests_total", "status"), "{{status}}")),
        graph("Errors by route", "reqps", "Only 5xx.", (rate("aftertone_http_requests_total", "method, route, status", '{+status=~"5.."}'), "{{status}} {{method}} {{route}}")),
        graph("Bytes", "Bps", "Bytes of bodies read and sent.", ("sum(rate(aftertone_http_request_bytes_total{}[$__rate_interval]))", "in"), ("sum(rate(aftertone_http_response_bytes_total{}[$__rate_interval]))", "out")),
        graph("Requests by route", "reqps", "The ten most frequent routes.", (f"topk(10, {rate('aftertone_http_requests_total', 'method, route')})", "{{method}} {{route}}")),
        graph("p50 by route", "s", "Total duration. Audio can take as long as the client plays it.", (quantile(0.5, _HTTP, "method, route"), "{{method}} {{route}}")),
        graph("p99 by route", "s", "Total duration.", (quantile(0.99, _HTTP, "method, route"), "{{method}} {{route}}")),
    ],
    "Saturation": [
        graph("Requests in flight", "none", "HTTP requests by process.", ("aftertone_http_requests_in_flight{+process=\"api\"}", "{{instance}}")),
        graph("Connections", "none", "Connections, event streams among them, and connections closed per minute above the limit of a peer.", ("sum by (instance) (aftertone_http_connections{+process=\"api\"})", "{{instance}}"), ("sum by (instance) (aftertone_event_streams{+process=\"api\"})", "{{instance}} streams"), ("60 * sum(rate(aftertone_http_connections_closed_total{}[$__rate_interval]))", "closed per minute")),
        graph("Uploads", "none", "In progress, and refused per minute.", ("sum by (instance) (aftertone_uploads_in_flight{+process=\"api\"})", "{{instance}}"), ("60 * sum(rate(aftertone_uploads_refused_total{}[$__rate_interval]))", "refused per minute")),
        graph("Database connections", "percentunit", "Share of each pool in use. At 100 %, requests wait.", ("max by (process, pool) (aftertone_database_connections{+state=\"in_use\"} / ignoring (state) aftertone_database_connections_max{})", "{{process}} {{pool}}")),
        graph("CPU", "none", "CPU cores in use. An API process uses at most one.", ("sum by (process, instance) (rate(process_cpu_seconds_total{+job=\"aftertone\"}[$__rate_interval]))", "{{process}} {{instance}}")),
        graph("Memory", "bytes", "Resident memory.", ("process_resident_memory_bytes{+job=\"aftertone\"}", "{{process}} {{instance}}")),
        graph("Processes", "none", "Running processes by version.", ("count by (version, process) (aftertone_build_info{})", "{{process}} {{version}}")),
    ],
    "Postgres and S3": [
        graph("Audit records dropped", "ops", "Records of refused requests, sign-ins and readings that were dropped.", ("sum(rate(aftertone_audit_records_dropped_total{}[$__rate_interval]))", "dropped")),
        graph("Statements, p99", "s", "The ten slowest statements.", (f"topk(10, {quantile(0.99, 'aftertone_sql_duration_seconds', 'query')})", "{{query}}")),
        graph("Statements", "ops", "The ten most frequent statements.", (f"topk(10, {rate('aftertone_sql_duration_seconds_count', 'query')})", "{{query}}")),
        graph("Database errors", "ops", "By type. TimeoutError includes timeouts while waiting for a connection.", (rate("aftertone_sql_errors_total", "reason"), "{{reason}}")),
        graph("Reads of lists", "ops", "By the server that answered. primary: the standby was behind or down.", (rate("aftertone_standby_reads_total", "server"), "{{server}}")),
        graph("Lag of the standby", "bytes", "Log that the standby did not show yet at the last read.", ("max(aftertone_standby_lag_bytes{})", "lag")),
        graph("Audio cache", "ops", "Blocks of audio read from the local cache (hit) or from S3 (miss).", (rate("aftertone_audio_cache_reads_total", "result"), "{{result}}")),
        graph("S3, p50 and p99", "s", "Duration including retries.", (quantile(0.5, "aftertone_s3_duration_seconds", "operation"), "{{operation}} p50"), (quantile(0.99, "aftertone_s3_duration_seconds", "operation"), "{{operation}} p99")),
        graph("S3 operations", "ops", "By type.", (rate("aftertone_s3_duration_seconds_count", "operation"), "{{operation}}")),
        graph("S3 errors", "ops", "Failed operations and timeouts.", (rate("aftertone_s3_errors_total", "operation"), "{{operation}}")),
    ],
    "Audio": [
        graph("Operations", "ops", "Conversions and measurements of audio by outcome.", (rate("aftertone_audio_operations_total", "outcome"), "{{outcome}}")),
        graph("Operations, p50 and p99", "s", "Duration without the wait in the queue.", (quantile(0.5, "aftertone_audio_operation_duration_seconds", "operation"), "{{operation}} p50"), (quantile(0.99, "aftertone_audio_operation_duration_seconds", "operation"), "{{operation}} p99")),
        graph("Audio processes", "none", "Processes that read audio, and operations that wait for one.", ("sum by (process) (aftertone_audio_processes{})", "{{process}}"), ("sum by (process) (aftertone_audio_queue_length{})", "{{process}} waiting")),
    ],
    "Events": [
        graph("Outbox backlog", "none", "Unpublished events.", ("max(aftertone_outbox_backlog{})", "waiting"), ("sum(aftertone_relay_stopped_lanes{})", "stopped queues")),
        graph("Oldest event", "s", "Age of the oldest unpublished event.", ("max(aftertone_outbox_oldest_seconds{})", "age")),
        graph("Shard lag", "s", "Age of the oldest unpublished event of each shard.", ("max by (shard) (aftertone_relay_shard_lag_seconds{})", "{{shard}}")),
        graph("Shards by relay", "none", "Number of shards that each relay owns.", ("sum by (instance) (aftertone_relay_shard_owned{})", "{{instance}}")),
        graph("Unexpected errors", "ops", "In relays and notifiers. The log has the details.", (rate("aftertone_unexpected_errors_total", "process"), "{{process}}")),
        graph("Event latency", "s", "Time from a change to the acknowledgement by NATS.", (quantile(0.5, "aftertone_event_latency_seconds", ""), "p50"), (quantile(0.99, "aftertone_event_latency_seconds", ""), "p99")),
        graph("Published", "ops", "By event type.", (rate("aftertone_events_published_total", "event"), "{{event}}")),
        graph("Fanned out", "ops", "Events processed by channels.", (rate("aftertone_events_fanned_out_total", "channel"), "{{channel}}")),
        graph("Republications", "none", "Republications per hour, after the stream lost events.", ("sum(increase(aftertone_stream_republications_total{}[1h]))", "per hour")),
    ],
    "Deliveries": [
        graph("Attempts", "ops", "By result.", (rate("aftertone_deliveries_total", "channel, result"), "{{channel}} {{result}}")),
        graph("Due", "none", "Due deliveries that are not in progress.", ("max by (channel) (aftertone_deliveries_due{})", "{{channel}}")),
        graph("Oldest due", "s", "Time since the oldest due delivery became due.", ("max by (channel) (aftertone_deliveries_oldest_due_seconds{})", "{{channel}}")),
        graph("Attempts, p99", "s", "Duration of attempts.", (quantile(0.99, "aftertone_delivery_duration_seconds", "channel"), "{{channel}}"), width=12),
        graph("Dead", "none", "Dead deliveries that were not retried or dropped.", ("max by (channel) (aftertone_deliveries_dead{})", "{{channel}}"), width=12),
    ],
    "Maintenance": [
        graph("Time since keeper steps completed", "s", "Hourly steps: below 1 h. Daily steps: below 24 h.", ("time() - max by (step) (aftertone_keeper_last_success_timestamp_seconds{})", "{{step}}")),
        graph("Partitions ahead", "none", "Future months and outbox days that have partitions.", ("max(aftertone_months_ahead{})", "months"), ("max(aftertone_outbox_days_ahead{})", "outbox days")),
        graph("Months overdue", "none", "Months that the keeper could not drop or clear. Must be 0.", ("max(aftertone_months_overdue{})", "months")),
        graph("Count drift", "none", "Boxes corrected by the last recount.", ("max(aftertone_count_drift{})", "boxes")),
    ],
}  # fmt: skip


def dashboard() -> dict[str, Any]:
    return {
        "uid": "aftertone",
        "title": "Aftertone",
        "tags": ["aftertone"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "templating": {"list": [_datasource(), _namespace()]},
        "annotations": {"list": []},
        "panels": _position_panels(),
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
    }


def _namespace() -> dict[str, Any]:
    query = 'label_values(up{job="aftertone"}, namespace)'
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "namespaces"},
        "refresh": 2,
        "includeAll": True,
        # Also matches series without this label.
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _position_panels() -> list[dict[str, Any]]:
    """Returns rows and panels with positions, from left to right and top to bottom."""
    placed: list[dict[str, Any]] = []
    y = 0
    for title, panels in ROWS.items():
        placed.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": y, "w": _WIDTH, "h": 1},
            }
        )
        x, y = 0, y + 1
        for panel in panels:
            size = panel["gridPos"]
            if x + size["w"] > _WIDTH:
                x, y = 0, y + size["h"]
            placed.append({**panel, "gridPos": {"x": x, "y": y, **size}})
            x += size["w"]
        y += panels[-1]["gridPos"]["h"]
    return [{"id": number, **panel} for number, panel in enumerate(placed, start=1)]


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
