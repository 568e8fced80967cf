"""Fail-overs of Postgres and failures of nodes under load, in rounds that end with an audit.

AFTERTONE_TEST_ROUNDS sets the number of rounds of each test. Each round causes 5 failures.
"""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.cluster import ClusterDeployment
from tests.support.fault_rounds import FaultRounds

ROUNDS = int(os.environ.get("AFTERTONE_TEST_ROUNDS", "2"))
FAILURES = 5

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deployment() -> AsyncIterator[ClusterDeployment]:
    async with ClusterDeployment.open() as opened:
        yield opened


@pytest.mark.parametrize("frozen", [False, True], ids=["killed", "frozen"])
async def test_the_primary_fails_and_its_synchronous_standby_is_promoted(
    deployment: ClusterDeployment, frozen: bool
) -> None:
    rounds = FaultRounds(deployment, f"Postgres {'frozen' if frozen else 'killed'}", seed=5)
    processes = {label: child.pid for label, child in deployment.processes.items()}
    for number in range(ROUNDS):
        async with rounds.round(number) as clients:
            for _ in range(FAILURES):
                await rounds.pause(0.2, 1)
                await rounds.measure_outage(clients, lambda: deployment.fail_over(frozen=frozen))
                await deployment.servers.postgres.rebuild_standby()
                rounds.figures["fail-overs"] += 1
    rounds.sum_up()
    assert {label: child.pid for label, child in deployment.processes.items()} == processes
