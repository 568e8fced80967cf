"""The table of the attacks: one row for each, with the figures of the other tenant."""

from collections import Counter

from tests.attacks.__main__ import ATTACKS, row
from tests.attacks.harness import Report
from tests.attacks.tenant import Sample

ATTACK = next(attack for attack in ATTACKS if attack.name == "sign-in guesses")


def test_a_row_shows_successes_waits_and_memory() -> None:
    samples = [Sample(name="list", seconds=0.1) for _ in range(100)]
    samples += [
        Sample(name="sign in", seconds=0.5),
        Sample(name="sign in", seconds=9, problem="503"),
    ]
    report = Report(
        outcomes=Counter({"429": 7, "401": 3}),
        samples=samples,
        targets=["sign in"],
        idle_mb=120,
        peak_mb=150,
    )
    assert row(ATTACK, 5_000, report) == (
        "| sign-in guesses | 5 000 sign-ins with random passwords, 90 at a time | 401: 3, 429: 7 "
        "| 101 of 102; sign in: 1 of 2 | 0.50; sign in: 9.00 | 9.00; sign in: 9.00 | 120 -> 150 |"
    )


def test_a_row_of_a_tenant_without_a_response_has_no_figures() -> None:
    assert row(ATTACK, 10, Report(targets=["sign in"])).count("-; sign in: -") == 3
