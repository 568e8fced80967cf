"""Alerts and dashboard use existing metrics, and the alerts fire as expected."""

import runpy
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from service.workers.keeper.steps import DAY, HOUR, MINUTE, SCHEDULE
from tests.deploy import monitoring

HERE = Path(__file__).parent
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (package prometheus)"
)


@pytest.mark.parametrize("query", monitoring.all_queries())
def test_a_query_uses_existing_series_and_labels(query: str) -> None:
    series = monitoring.known_series()
    selected = monitoring.selected(query)

    assert selected, "the query selects no series of the service"
    assert selected.keys() <= series.keys()
    for name, labels in selected.items():
        assert labels <= series[name], name
    all_labels = set[str]().union(*(series[name] for name in selected))
    assert monitoring.grouped(query) <= all_labels


def test_every_metric_of_the_service_is_on_the_dashboard_or_in_an_alert() -> None:
    used = {name for query in monitoring.all_queries() for name in monitoring.selected(query)}
    unused = {metric.name for metric in monitoring.defined() if not used & set(metric.names)}

    assert unused == set()


def test_the_dashboard_matches_its_script() -> None:
    generated = runpy.run_path(str(monitoring.DEPLOY / "dashboard.py"))["text"]()

    assert (monitoring.FILES / "dashboard.json").read_text() == generated, (
        "python deploy/dashboard.py"
    )


def test_panels_do_not_overlap_and_have_unique_titles() -> None:
    board = msgspec.json.decode((monitoring.FILES / "dashboard.json").read_bytes())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells

    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    graphs = [panel for panel in board["panels"] if panel["type"] == "timeseries"]
    assert len({panel["title"] for panel in graphs}) == len(graphs)


@pytest.mark.parametrize("rule", monitoring.rules(), ids=lambda rule: rule.alert)
def test_an_alert_has_a_severity_and_a_run_book_link(rule: monitoring.Rule) -> None:
    assert rule.labels.keys() == {"severity"}
    assert rule.labels["severity"] in {"page", "ticket"}
    assert rule.annotations.keys() == {"summary", "description", "runbook"}
    assert rule.annotations["runbook"] == f"deploy/README.md#{rule.alert.lower()}"


def test_the_keeper_alert_lists_the_daily_steps() -> None:
    [rule] = [rule for rule in monitoring.rules() if rule.alert == "AftertoneKeeperLate"]
    daily = "|".join(name for name, (every, _) in SCHEDULE.items() if every == DAY)

    assert {every for every, _ in SCHEDULE.values()} == {MINUTE, HOUR, DAY}
    assert rule.expr.count(f'~"{daily}"') == 2


@needs_promtool
def test_promtool_accepts_all_rules_and_queries(tmp_path: Path) -> None:
    queries = [
        {"record": f"panel:{number}", "expr": query}
        for number, query in enumerate(monitoring.dashboard_queries())
    ]
    panels = tmp_path / "panels.yaml"
    panels.write_bytes(msgspec.yaml.encode({"groups": [{"name": "panels", "rules": queries}]}))

    promtool("check", "rules", str(monitoring.FILES / "alerts.yaml"), str(panels))


@pytest.mark.long
@needs_promtool
def test_alerts_fire_exactly_as_their_promtool_tests_expect() -> None:
    promtool("test", "rules", *sorted(map(str, HERE.glob("alerts_*test.yaml"))))


def test_every_alert_has_a_promtool_test() -> None:
    tests = "".join(file.read_text() for file in HERE.glob("alerts_*test.yaml"))

    for rule in monitoring.rules():
        assert f'alertname="{rule.alert}"' in tests


def promtool(*arguments: str) -> None:
    process = subprocess.run(  # noqa: S603
        [str(PROMTOOL), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert process.returncode == 0, process.stdout + process.stderr
