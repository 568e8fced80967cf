"""The deployment that these tests break, one test after the other."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.clients import Clients
from tests.support.deployment import Deployment
from tests.support.ledger import Ledger
from tests.support.running import AccountClient


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_deployment() -> AsyncIterator[Deployment]:
    async with Deployment.open() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def deployment(one_deployment: Deployment) -> AsyncIterator[Deployment]:
    """Running deployment; the test may break it."""
    await one_deployment.restore()
    yield one_deployment
    await one_deployment.restore()


@pytest_asyncio.fixture(loop_scope="session")
async def account(deployment: Deployment) -> AsyncIterator[AccountClient]:
    """An account of that deployment."""
    client = await deployment.an_account()
    yield client
    await client.http.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def ledger(account: AccountClient) -> Ledger:
    """With three boxes."""
    opened = Ledger()
    await opened.open_vmboxes(account, 3)
    return opened


@pytest_asyncio.fixture(loop_scope="session")
async def clients(account: AccountClient, ledger: Ledger) -> Clients:
    return Clients(account, ledger)
