"""Writes deploy/chart/files/dashboard.json: what is on the dashboard stands here, a line a panel."""
# ruff: noqa: E501 - the table of panels is read by columns

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "chart" / "files" / "dashboard.json"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24
# `{}` in a query is for the labels that choose a deployment, and further ones.
_CHOSEN = 'namespace=~"$namespace"'

Query = tuple[str, str]
"""PromQL and the legend of its series."""


def stat(
    title: str, unit: str, text: str, query: str, *limits: float, good: str = "low"
) -> dict[str, Any]:
    """A number. Low is good, and it turns red at the last limit; or high, and red below the first."""
    colours = ["green", "yellow", "red"] if len(limits) > 1 else ["green", "red"]
    if good == "high":
        colours.reverse()
    steps = [
        {"color": colour, "value": limit}
        for colour, limit in zip(colours, (None, *limits), strict=False)
    ]
    shown = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"}
    return _panel("stat", title, unit, text, [(query, "")], 3, 4, steps) | {"options": shown}


def graph(title: str, unit: str, text: str, *queries: Query, width: int = 8) -> dict[str, Any]:
    """Lines over time."""
    legend = {"displayMode": "list", "placement": "bottom"}
    shown = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    return _panel("timeseries", title, unit, text, queries, width, 8, []) | {"options": shown}


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
                "expr": _chosen(query),
                "legendFormat": legend,
            }
            for number, (query, legend) in enumerate(queries)
        ],
    }


def _chosen(query: str) -> str:
    return query.replace("{}", f"{{{_CHOSEN}}}").replace("{+", f"{{{_CHOSEN}, ")


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
        stat("Requests", "reqps", "All that is answered.", "sum(rate(aftertone_http_requests_total{}[$__rate_interval]))"),
        stat("Errors", "percentunit", "Share of 5xx; the objective is 0.1 %.", f"{_ERRORS} or vector(0)", 0.001, 0.0144),
        stat("Reads, p99", "s", "GET without audio; the objective is 0.5 s.", quantile(0.99, _HTTP, "", _READS), 0.25, 0.5),
        stat("Oldest event", "s", "How long the oldest event has waited for NATS.", "max(aftertone_outbox_oldest_seconds{})", 10, 60),
        stat("Active relays", "none", "1; anything else lasts for moments.", "sum(aftertone_relay_active{})", 1, good="high"),
        stat("Dead deliveries", "none", "Given up; `aftertone deliveries list --status dead`.", "sum(max by (channel) (aftertone_deliveries_dead{}))", 1, 100),
        stat("Outbox days ahead", "none", "35 are kept; at 0 nothing can be stored.", "max(aftertone_outbox_days_ahead{})", 2, 21, good="high"),
        stat("Count drift", "none", "Boxes that the last recount had to repair: 0.", "max(aftertone_count_drift{})", 1),
    ],
    "Traffic and errors": [
        graph("Requests by status", "reqps", "499 is a client that left before its answer.", (rate("aftertone_http_requests_total", "status"), "{{status}}")),
        graph("Errors by route", "reqps", "5xx alone.", (rate("aftertone_http_requests_total", "method, route, status", '{+status=~"5.."}'), "{{status}} {{method}} {{route}}")),
        graph("Bytes", "Bps", "Bodies read and sent.", ("sum(rate(aftertone_http_request_bytes_total{}[$__rate_interval]))", "in"), ("sum(rate(aftertone_http_response_bytes_total{}[$__rate_interval]))", "out")),
        graph("Requests by route", "reqps", "The ten busiest.", (f"topk(10, {rate('aftertone_http_requests_total', 'method, route')})", "{{method}} {{route}}")),
        graph("p50 by route", "s", "From the first byte to the last: audio takes as long as its listener.", (quantile(0.5, _HTTP, "method, route"), "{{method}} {{route}}")),
        graph("p99 by route", "s", "As p50.", (quantile(0.99, _HTTP, "method, route"), "{{method}} {{route}}")),
    ],
    "Saturation": [
        graph("Requests in flight", "none", "By process.", ("aftertone_http_requests_in_flight{+process=\"api\"}", "{{instance}}")),
        graph("Uploads", "none", "In flight, and refused in a minute.", ("sum by (instance) (aftertone_uploads_in_flight{+process=\"api\"})", "{{instance}}"), ("60 * sum(rate(aftertone_uploads_refused_total{}[$__rate_interval]))", "refused a minute")),
        graph("Database connections", "percentunit", "Share of a pool in use; at 100 % requests wait.", ("max by (process, pool) (aftertone_database_connections{+state=\"in_use\"} / ignoring (state) aftertone_database_connections_max{})", "{{process}} {{pool}}")),
        graph("Processor", "none", "Cores that processes use; one is the most an API process can.", ("sum by (process, instance) (rate(process_cpu_seconds_total{+job=\"aftertone\"}[$__rate_interval]))", "{{process}} {{instance}}")),
        graph("Memory", "bytes", "Resident.", ("process_resident_memory_bytes{+job=\"aftertone\"}", "{{process}} {{instance}}")),
        graph("Processes", "none", "That answer, by version.", ("count by (version, process) (aftertone_build_info{})", "{{process}} {{version}}")),
    ],
    "Postgres and S3": [
        graph("Statements, p99", "s", "The ten slowest.", (f"topk(10, {quantile(0.99, 'aftertone_sql_duration_seconds', 'query')})", "{{query}}")),
        graph("Statements", "ops", "The ten most frequent.", (f"topk(10, {rate('aftertone_sql_duration_seconds_count', 'query')})", "{{query}}")),
        graph("Database errors", "ops", "By kind; a wait for a connection in vain is a TimeoutError, too.", (rate("aftertone_sql_errors_total", "reason"), "{{reason}}")),
        graph("S3, p50 and p99", "s", "With retries.", (quantile(0.5, "aftertone_s3_duration_seconds", "operation"), "{{operation}} p50"), (quantile(0.99, "aftertone_s3_duration_seconds", "operation"), "{{operation}} p99")),
        graph("S3 operations", "ops", "By kind.", (rate("aftertone_s3_duration_seconds_count", "operation"), "{{operation}}")),
        graph("S3 errors", "ops", "Refused, or no answer in time.", (rate("aftertone_s3_errors_total", "operation"), "{{operation}}")),
    ],
    "Events": [
        graph("Outbox backlog", "none", "Events that wait for NATS.", ("max(aftertone_outbox_backlog{})", "waiting"), ("sum(aftertone_relay_stopped_lanes{})", "boxes held up")),
        graph("Oldest event", "s", "How long it has waited.", ("max(aftertone_outbox_oldest_seconds{})", "age")),
        graph("Event latency", "s", "From what happened to NATS's acknowledgement.", (quantile(0.5, "aftertone_event_latency_seconds", ""), "p50"), (quantile(0.99, "aftertone_event_latency_seconds", ""), "p99")),
        graph("Published", "ops", "By kind.", (rate("aftertone_events_published_total", "event"), "{{event}}")),
        graph("Dealt out", "ops", "Events that channels have read.", (rate("aftertone_events_fanned_out_total", "channel"), "{{channel}}")),
        graph("Republications", "none", "Times in an hour that the stream had lost events.", ("sum(increase(aftertone_stream_republications_total{}[1h]))", "in an hour")),
    ],
    "Deliveries": [
        graph("Attempts", "ops", "By how they ended.", (rate("aftertone_deliveries_total", "channel, result"), "{{channel}} {{result}}")),
        graph("Due", "none", "In nobody's hands yet.", ("max by (channel) (aftertone_deliveries_due{})", "{{channel}}")),
        graph("Oldest due", "s", "For how long.", ("max by (channel) (aftertone_deliveries_oldest_due_seconds{})", "{{channel}}")),
        graph("Attempts, p99", "s", "How long they took.", (quantile(0.99, "aftertone_delivery_duration_seconds", "channel"), "{{channel}}"), width=12),
        graph("Dead", "none", "Given up and not decided on.", ("max by (channel) (aftertone_deliveries_dead{})", "{{channel}}"), width=12),
    ],
    "Keeping": [
        graph("Since the keeper's steps ended well", "s", "Hourly ones below 1 h, daily ones below 24 h.", ("time() - max by (step) (aftertone_keeper_last_success_timestamp_seconds{})", "{{step}}")),
        graph("Partitions ahead", "none", "Months and outbox days.", ("max(aftertone_months_ahead{})", "months"), ("max(aftertone_outbox_days_ahead{})", "outbox days")),
        graph("Count drift", "none", "Boxes that a recount had to repair.", ("max(aftertone_count_drift{})", "boxes")),
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
        "panels": _placed(),
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
        # Also what has no such label.
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _placed() -> list[dict[str, Any]]:
    """The panels under their rows, from left to right and down."""
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
