"""Alerts and dashboard ask for what there is, and the alerts fire as they are said to."""

import runpy
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from service.workers.keeper.steps import DAY, HOUR, SCHEDULE
from tests.deploy import watched

HERE = Path(__file__).parent
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not there (Debian's package prometheus)"
)


@pytest.mark.parametrize("query", watched.all_queries())
def test_a_query_names_series_and_labels_that_exist(query: str) -> None:
    series = watched.known_series()
    selected = watched.selected(query)

    assert selected, "it asks for nothing that is ours"
    assert selected.keys() <= series.keys()
    for name, labels in selected.items():
        assert labels <= series[name], name
    of_all = set[str]().union(*(series[name] for name in selected))
    assert watched.grouped(query) <= of_all


def test_every_metric_of_the_service_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = {name for query in watched.all_queries() for name in watched.selected(query)}
    unasked = {one.name for one in watched.defined() if not asked & set(one.names)}

    assert unasked == set()


def test_the_dashboard_matches_its_script() -> None:
    written = runpy.run_path(str(watched.DEPLOY / "dashboard.py"))["text"]()

    assert (watched.FILES / "dashboard.json").read_text() == written, "python deploy/dashboard.py"


def test_the_panels_of_the_dashboard_do_not_overlap_and_have_titles_of_their_own() -> None:
    board = msgspec.json.decode((watched.FILES / "dashboard.json").read_bytes())
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


@pytest.mark.parametrize("rule", watched.rules(), ids=lambda rule: rule.alert)
def test_an_alert_has_a_severity_and_a_run_book_link(rule: watched.Rule) -> None:
    assert rule.labels.keys() == {"severity"}
    assert rule.labels["severity"] in {"page", "ticket"}
    assert rule.annotations.keys() == {"summary", "description", "runbook"}
    assert rule.annotations["runbook"] == f"deploy/README.md#{rule.alert.lower()}"


def test_the_alert_about_the_keeper_knows_its_daily_steps() -> None:
    [rule] = [rule for rule in watched.rules() if rule.alert == "AftertoneKeeperLate"]
    daily = "|".join(name for name, (every, _) in SCHEDULE.items() if every == DAY)

    assert {every for every, _ in SCHEDULE.values()} == {HOUR, DAY}
    assert rule.expr.count(f'~"{daily}"') == 2


@needs_promtool
def test_promtool_finds_the_rules_in_order_and_every_query_well_formed(tmp_path: Path) -> None:
    queries = [
        {"record": f"panel:{number}", "expr": query}
        for number, query in enumerate(watched.dashboard_queries())
    ]
    panels = tmp_path / "panels.yaml"
    panels.write_bytes(msgspec.yaml.encode({"groups": [{"name": "panels", "rules": queries}]}))

    promtool("check", "rules", str(watched.FILES / "alerts.yaml"), str(panels))


@needs_promtool
def test_alerts_fire_and_stay_silent_as_their_tests_say() -> None:
    promtool("test", "rules", *sorted(map(str, HERE.glob("alerts_*test.yaml"))))


def test_every_alert_is_seen_firing_in_a_test() -> None:
    tests = "".join(file.read_text() for file in HERE.glob("alerts_*test.yaml"))

    for rule in watched.rules():
        assert f'alertname="{rule.alert}"' in tests


def promtool(*arguments: str) -> None:
    done = subprocess.run(  # noqa: S603
        [str(PROMTOOL), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
