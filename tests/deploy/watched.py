"""Series that alerts and dashboards query, and series that the service defines."""

import re
from pathlib import Path

import msgspec

from service import metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = DEPLOY / "chart" / "files"
RUN_BOOK = DEPLOY / "README.md"

# What a scrape adds by the chart's ServiceMonitor, and what histograms have.
OF_A_SCRAPE = frozenset({"job", "instance", "namespace", "process"})
# Of Prometheus itself, and of its client library's ProcessCollector.
OTHERS = {
    "up": OF_A_SCRAPE,
    "process_cpu_seconds_total": OF_A_SCRAPE,
    "process_resident_memory_bytes": OF_A_SCRAPE,
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
    """As it is defined: `names` are those of its series."""

    name: str
    text: str
    names: tuple[str, ...]
    labels: tuple[str, ...]


class _Group(msgspec.Struct):
    rules: list[Rule]


class _Groups(msgspec.Struct):
    groups: list[_Group]


def rules() -> list[Rule]:
    found = msgspec.yaml.decode((FILES / "alerts.yaml").read_bytes(), type=_Groups)
    return [rule for group in found.groups for rule in group.rules]


def dashboard_queries() -> list[str]:
    """As Grafana sends them, with all namespaces and a rate over five minutes."""
    board = msgspec.json.decode((FILES / "dashboard.json").read_bytes())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return [
        query.replace("$__rate_interval", "5m").replace("$namespace", ".*") for query in queries
    ]


def all_queries() -> list[str]:
    return [*(rule.expr for rule in rules()), *dashboard_queries()]


def selected(query: str) -> dict[str, set[str]]:
    """The labels that a query asks of each series that it names, where it can be told."""
    found: dict[str, set[str]] = {}
    for selector in _SELECTOR.finditer(query):
        labels = found.setdefault(selector["name"], set())
        labels.update(_MATCHER.findall(selector["matchers"] or ""))
    return found


def grouped(query: str) -> set[str]:
    """The labels that a query groups or joins by."""
    return {
        label.strip() for labels in _GROUPING.findall(query) for label in labels.split(",") if label
    }


def defined() -> list[Metric]:
    """Every metric of the service, in the order of its module."""
    return [
        Metric(one.name, one.text, *_series(one.name, one.kind, one.labels))
        for one in metrics.DEFINITIONS
    ]


def _series(
    name: str, kind: str, labels: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if kind != "histogram":
        return (name,), labels
    return tuple(f"{name}_{part}" for part in ("bucket", "count", "sum")), (*labels, "le")


def known_series() -> dict[str, frozenset[str]]:
    """The labels of every series that a scrape of the service may show."""
    own = {name: OF_A_SCRAPE.union(one.labels) for one in defined() for name in one.names}
    return {**OTHERS, **own}
