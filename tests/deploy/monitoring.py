"""Queries of alerts and dashboard, and the metrics that the service defines."""

import re
from pathlib import Path

import msgspec

from service import metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = DEPLOY / "chart" / "files"
RUN_BOOK = DEPLOY / "README.md"

# Labels that the ServiceMonitor of the chart adds.
SCRAPE_LABELS = frozenset({"job", "instance", "namespace", "process"})
# Series of Prometheus itself and of its client library.
EXTERNAL_SERIES = {
    "up": SCRAPE_LABELS,
    "process_cpu_seconds_total": SCRAPE_LABELS,
    "process_resident_memory_bytes": SCRAPE_LABELS,
}

_NAME = re.compile(r"\b(?:aftertone_\w+|process_\w+_\w+|up)\b(?=[\s{\[)/,]|$)")
_SELECTOR = re.compile(rf"(?P<name>{_NAME.pattern})\s*(?:\{{(?P<matchers>[^}}]*)\}})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


class Rule(msgspec.Struct, frozen=True):
    alert: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Metric(msgspec.Struct, frozen=True):
    """Definition of a metric; `names` are the names of its series."""

    name: str
    text: str
    names: tuple[str, ...]
    labels: tuple[str, ...]


class _Group(msgspec.Struct):
    rules: list[Rule]


class _Groups(msgspec.Struct):
    groups: list[_Group]


def rules() -> list[Rule]:
    content = msgspec.yaml.decode((FILES / "alerts.yaml").read_bytes(), type=_Groups)
    return [rule for group in content.groups for rule in group.rules]


def dashboard_queries() -> list[str]:
    """Returns the queries of all panels, for all namespaces and with a rate over five minutes."""
    board = msgspec.json.decode((FILES / "dashboard.json").read_bytes())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return [
        query.replace("$__rate_interval", "5m").replace("$namespace", ".*") for query in queries
    ]


def all_queries() -> list[str]:
    return [*(rule.expr for rule in rules()), *dashboard_queries()]


def selected(query: str) -> dict[str, set[str]]:
    """Returns the series of a query, each with the labels that the query selects by."""
    labels_of: dict[str, set[str]] = {}
    for selector in _SELECTOR.finditer(query):
        labels = labels_of.setdefault(selector["name"], set())
        labels.update(_MATCHER.findall(selector["matchers"] or ""))
    return labels_of


def grouped(query: str) -> set[str]:
    """Returns the labels that a query groups or joins by."""
    return {
        label.strip() for labels in _GROUPING.findall(query) for label in labels.split(",") if label
    }


def defined() -> list[Metric]:
    """Returns all metrics of the service in the order of their definition."""
    return [
        Metric(
            definition.name,
            definition.text,
            *_series(definition.name, definition.kind, definition.labels),
        )
        for definition in metrics.DEFINITIONS
    ]


def _series(
    name: str, kind: str, labels: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if kind != "histogram":
        return (name,), labels
    return tuple(f"{name}_{part}" for part in ("bucket", "count", "sum")), (*labels, "le")


def known_series() -> dict[str, frozenset[str]]:
    """Returns all series that a scrape can return, with their labels."""
    own = {name: SCRAPE_LABELS.union(item.labels) for item in defined() for name in item.names}
    return {**EXTERNAL_SERIES, **own}
