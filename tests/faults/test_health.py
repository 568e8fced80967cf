"""Health while servers fail: the API is unready only when it can serve nothing, and says why."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
import pytest_asyncio

from service.postgres.migrate import read_migrations
from tests.support.admin import AdminPort, HealthAnswer
from tests.support.deployment import Deployment
from tests.support.ports import free_port
from tests.support.waiting import wait_until

_ALIVE = HealthAnswer(200, "")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def one_admin(one_deployment: Deployment) -> AsyncIterator[AdminPort]:
    """The admin port of a separate API process."""
    await one_deployment.restore()
    port = AdminPort(free_port())
    other = await one_deployment.another_api(**port.environment)
    yield port
    await other.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def admin(deployment: Deployment, one_admin: AdminPort) -> AdminPort:
    """The same port, once all servers run and the API is ready."""
    assert deployment.api.alive
    await wait_until(one_admin.is_ready)
    return one_admin


async def test_while_postgres_is_frozen_the_api_lives_and_is_not_ready(
    deployment: Deployment, admin: AdminPort
) -> None:
    deployment.servers.postgres.suspend()
    await assert_postgres_is_reported(admin)
    deployment.servers.postgres.resume()
    await wait_until(admin.is_ready)


@pytest.mark.long
async def test_while_postgres_is_dead_the_api_lives_and_is_not_ready(
    deployment: Deployment, admin: AdminPort
) -> None:
    await deployment.servers.postgres.kill()
    await assert_postgres_is_reported(admin)
    await deployment.servers.postgres.start()
    await wait_until(admin.is_ready)


async def assert_postgres_is_reported(admin: AdminPort) -> None:
    """Each of many probes at once gets the same answer."""
    answers = await asyncio.gather(*(admin.health("ready") for _ in range(20)))
    assert set(map(msgspec.structs.astuple, answers)) == {(503, "Postgres does not answer.")}
    assert await admin.health("live") == await admin.health("startup") == _ALIVE


async def test_without_s3_and_nats_the_api_is_ready(
    deployment: Deployment, admin: AdminPort
) -> None:
    await asyncio.gather(deployment.servers.s3.kill(), deployment.servers.nats.kill())
    assert await admin.health("ready") == _ALIVE


async def test_a_database_that_lacks_a_migration_makes_it_unready(
    deployment: Deployment, admin: AdminPort
) -> None:
    previous, last = read_migrations()[-2:]
    psql = deployment.servers.postgres.psql
    await psql(
        "UPDATE migrations SET number = -number WHERE number = (SELECT max(number) FROM migrations)"
    )
    try:
        response = await admin.health("ready")
    finally:
        await psql("UPDATE migrations SET number = -number WHERE number < 0")
    assert response.status == httpx.codes.SERVICE_UNAVAILABLE
    assert f"at migration {previous.number} of {last.number}" in response.reason
