"""Fail-overs of Postgres and failures of NATS and S3 nodes under load, with an audit per round.

AFTERTONE_TEST_ROUNDS sets the number of rounds of each test. Each round causes 5 failures.
"""

import os
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from service.embedded.cluster.nats import NatsNode
from service.embedded.server import Server
from tests.support.cluster import ClusterDeployment, fail
from tests.support.fault_rounds import FaultRounds

ROUNDS = int(os.environ.get("AFTERTONE_TEST_ROUNDS", "1"))
FAILURES = 5
STREAM = "VOICEMAIL"

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]
killed_or_frozen = pytest.mark.parametrize("frozen", [False, True], ids=["killed", "frozen"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deployment() -> AsyncIterator[ClusterDeployment]:
    async with ClusterDeployment.open() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pooled_deployment() -> AsyncIterator[ClusterDeployment]:
    async with ClusterDeployment.open(pooled=True) as opened:
        if opened.servers.pgbouncer is None:
            pytest.skip("PgBouncer is not installed")
        yield opened


@killed_or_frozen
async def test_the_primary_fails_and_its_synchronous_standby_is_promoted(
    deployment: ClusterDeployment, frozen: bool
) -> None:
    await fail_over_in_rounds(deployment, "Postgres", frozen=frozen)


@killed_or_frozen
async def test_the_primary_behind_pgbouncer_fails(
    pooled_deployment: ClusterDeployment, frozen: bool
) -> None:
    await fail_over_in_rounds(pooled_deployment, "PgBouncer", frozen=frozen)


async def fail_over_in_rounds(deployment: ClusterDeployment, title: str, *, frozen: bool) -> None:
    rounds = FaultRounds(deployment, f"{title} {'frozen' if frozen else 'killed'}", seed=5)
    processes = {label: child.pid for label, child in deployment.processes.items()}
    for number in range(ROUNDS):
        async with rounds.round(number) as clients:
            for _ in range(FAILURES):
                await rounds.pause(0.2, 1)
                await rounds.measure_outage(
                    partial(deployment.fail_over, frozen=frozen), clients.stored
                )
                await deployment.servers.postgres.rebuild_standby()
                rounds.figures["fail-overs"] += 1
    rounds.sum_up()
    assert {label: child.pid for label, child in deployment.processes.items()} == processes


@pytest.mark.parametrize("kind", ["killed", "frozen", "wiped", "isolated"])
async def test_the_leader_of_the_stream_fails(deployment: ClusterDeployment, kind: str) -> None:
    rounds = FaultRounds(deployment, f"NATS leader {kind}", seed=6)
    for number in range(ROUNDS):
        async with rounds.round(number) as clients:
            for _ in range(FAILURES):
                await rounds.pause(0.2, 1)
                leader = await deployment.leader_of(STREAM)
                await rounds.measure_outage(
                    partial(fail_node, deployment, leader, kind),
                    partial(deployment.publishes_again, clients),
                )
                await repair_node(deployment, leader)
                rounds.figures[kind] += 1
    rounds.sum_up()
    assert rounds.figures["answered 503"] == rounds.figures["answered none"] == 0


async def fail_node(deployment: ClusterDeployment, node: NatsNode, kind: str) -> None:
    match kind:
        case "wiped":
            await node.wipe()
        case "isolated":
            await deployment.routes.isolate(node)
        case _:
            await fail(node, frozen=kind == "frozen")


async def repair_node(deployment: ClusterDeployment, node: NatsNode) -> None:
    await deployment.routes.heal()
    node.resume()
    await node.start()
    await deployment.servers.nats.wait_until_healthy()


@killed_or_frozen
@pytest.mark.parametrize("part", ["volumes", "gateways"])
async def test_a_volume_server_and_a_gateway_of_s3_fail(
    deployment: ClusterDeployment, part: str, frozen: bool
) -> None:
    rounds = FaultRounds(deployment, f"S3 {part} {'frozen' if frozen else 'killed'}", seed=7)
    for number in range(ROUNDS):
        async with rounds.round(number) as clients:
            for turn in range(FAILURES):
                await rounds.pause(0.2, 1)
                server: Server = getattr(deployment.servers.s3, part)[turn % 2]
                await rounds.measure_outage(partial(fail, server, frozen=frozen), clients.stored)
                server.resume()
                await server.start()
                await deployment.servers.s3.wait_until_joined()
                rounds.figures["failed"] += 1
    rounds.sum_up()
