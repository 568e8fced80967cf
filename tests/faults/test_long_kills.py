"""Hundreds of kills under load, in rounds; each round ends with an audit of everything."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.embedded.server import Server
from tests.faults.test_relay_killed import ACKNOWLEDGED, MARK, PUBLISH
from tests.support.deployment import Deployment
from tests.support.fault_rounds import FaultRounds, KillPoint

ANSWERED, COMMITTED = b"HTTP/1.1 200", b"Z\x00\x00\x00\x05I"

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest_asyncio.fixture(loop_scope="session")
async def deployment() -> AsyncIterator[Deployment]:
    """A deployment for each test, because its stream becomes long."""
    async with Deployment.open() as opened:
        await opened.restore()
        yield opened


def relay_moments(deployment: Deployment) -> list[KillPoint]:
    nats, postgres = deployment.proxies.nats, deployment.proxies.relay_postgres
    return [
        KillPoint(name="acknowledged", proxy=nats, asks=PUBLISH, answers=ACKNOWLEDGED),
        KillPoint(name="not marked", proxy=postgres, asks=MARK),
        KillPoint(name="marked late", proxy=postgres, asks=MARK, late=True),
        KillPoint(name="marked", proxy=postgres, asks=MARK, answers=COMMITTED),
    ]


async def test_the_api_is_killed_200_times(deployment: Deployment) -> None:
    rounds, proxies = FaultRounds(deployment, "API"), deployment.proxies
    write = b"audio/2"
    moments = [
        KillPoint(name="object put", proxy=proxies.s3, asks=b"PUT /aftertone/", answers=ANSWERED),
        KillPoint(name="object copied", proxy=proxies.s3, asks=b"copy-source", answers=ANSWERED),
        KillPoint(name="row not sent", proxy=proxies.postgres, asks=write),
        KillPoint(name="row sent late", proxy=proxies.postgres, asks=write, late=True),
        KillPoint(name="row written", proxy=proxies.postgres, asks=write, answers=COMMITTED),
    ]
    for number in range(20):
        async with rounds.round(number):
            for _ in range(10):
                await rounds.strike(moments, deployment.api.kill, deployment.start_api)
    rounds.sum_up()
    assert rounds.figures["killed"] == 200
    assert all(rounds.figures[f"at {moment.name}"] for moment in moments)


async def test_relays_are_killed_200_times_while_one_or_two_run(deployment: Deployment) -> None:
    rounds, moments = FaultRounds(deployment, "relay", seed=2), relay_moments(deployment)
    for number in range(10):
        async with rounds.round(number):
            labels = ["relay", "second"][: 1 + number % 2]
            if number % 2:
                await deployment.start_relay("second")
            for _ in range(20):
                label = rounds.random.choice(labels)
                await rounds.strike(
                    moments,
                    deployment.processes[label].kill,
                    lambda label=label: deployment.start_relay(label),  # type: ignore[misc]
                )
    rounds.sum_up()
    assert rounds.figures["killed"] == 200
    assert rounds.figures["answered 503"] == rounds.figures["answered none"] == 0


async def test_of_four_relays_with_four_shards_100_are_killed_or_frozen(
    deployment: Deployment,
) -> None:
    rounds, labels = FaultRounds(deployment, "shards", seed=5), ["relay", "b", "c", "d"]
    moments = relay_moments(deployment)

    async def freeze(label: str) -> None:
        deployment.processes[label].suspend()
        # Both shorter and longer than the lease of 3 s.
        await rounds.pause(0.5, 5)
        deployment.processes[label].resume()
        rounds.figures["frozen"] += 1

    for number in range(10):
        async with rounds.round(number):
            for label in labels[1:]:
                await deployment.start_relay(label)
            for turn in range(10):
                label = rounds.random.choice(labels)
                if turn % 3 == 2:
                    await freeze(label)
                    continue
                await rounds.strike(
                    moments,
                    deployment.processes[label].kill,
                    lambda label=label: deployment.start_relay(label),  # type: ignore[misc]
                )
    rounds.sum_up()
    assert (rounds.figures["killed"], rounds.figures["frozen"]) == (70, 30)
    assert rounds.figures["answered 503"] == rounds.figures["answered none"] == 0


@pytest.mark.parametrize("name", ["postgres", "nats", "s3"])
async def test_a_server_is_killed_30_times_and_frozen_15_times(
    deployment: Deployment, name: str
) -> None:
    rounds = FaultRounds(deployment, name, seed=3)
    server: Server = getattr(deployment.servers, name)
    for number in range(5):
        async with rounds.round(number):
            for turn in range(9):
                await rounds.pause(0.1, 0.6)
                if turn % 3:
                    await server.kill()
                    await rounds.pause(0, 0.5)
                    await server.start()
                else:
                    server.suspend()
                    await rounds.pause(0.2, 4)
                    server.resume()
                rounds.figures["killed" if turn % 3 else "frozen"] += 1
    rounds.sum_up()
    assert (rounds.figures["killed"], rounds.figures["frozen"]) == (30, 15)


async def test_the_store_of_nats_is_wiped_10_times(deployment: Deployment) -> None:
    rounds = FaultRounds(deployment, "wiped", seed=4)
    for number in range(5):
        async with rounds.round(number, all_accounts=True):
            for _ in range(2):
                await rounds.pause(0.2, 1)
                await deployment.wipe_nats()
                rounds.figures["wiped"] += 1
    rounds.sum_up()
