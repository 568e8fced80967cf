"""The capacity model, and the page that it writes."""

from pathlib import Path

import msgspec

from tests.benchmarks.capacity import (
    COSTS,
    USES,
    costs_of,
    demand_of,
    insert_tables,
    largest_cell,
    read_costs,
    tables_of,
)

PAGE = Path(__file__).parents[2] / "deploy" / "SCALING.md"


def test_the_page_has_the_tables_of_the_model() -> None:
    page = PAGE.read_text()
    assert page == insert_tables(page, tables_of(read_costs())), (
        "run `python -m tests.benchmarks.capacity --write deploy/SCALING.md`"
    )


def test_cores_grow_with_subscribers_and_stay_below_the_target_utilization() -> None:
    costs = read_costs()
    for use in USES:
        small, large = (demand_of(costs, use, number) for number in (1_000_000, 10_000_000))
        mean_ms = sum(
            rate * costs.cpu_ms[operation]["api"] for operation, rate in large.rates.items()
        )
        assert mean_ms / 1000 < large.cores["api"] * 0.7
        # Peaks matter less for more subscribers.
        assert 5 < large.cores["api"] / small.cores["api"] < 10


def test_a_costlier_statement_makes_the_largest_cell_smaller() -> None:
    costs = read_costs()
    heavy = USES[-1]
    slow = {name: {**cpu, "postgres": cpu["postgres"] * 50} for name, cpu in costs.cpu_ms.items()}
    before, _ = largest_cell(costs, heavy)
    after, limit = largest_cell(msgspec.structs.replace(costs, cpu_ms=slow), heavy)
    assert after < before
    assert limit == "CPU"


def test_costs_are_read_from_the_measurement_with_the_most_clients() -> None:
    def measured(clients: int, api_ms: float) -> dict[str, object]:
        return {"subject": [{"name": "store", "clients": clients, "cpu_ms": {"api": api_ms}}]}

    results = {
        "started_at": "2026-12-01T10:00:00Z",
        "machine": "2 CPUs",
        "comparisons": [measured(16, 2.0), measured(1, 5.0)],
        "row_bytes": {"messages": 969.4},
    }
    costs = costs_of(msgspec.json.encode(results))
    assert costs.cpu_ms["store"]["api"] == 2.0
    assert costs.cpu_ms["store"]["relay"] == 0
    assert costs.row_bytes == {"messages": 969}
    assert COSTS.exists()
