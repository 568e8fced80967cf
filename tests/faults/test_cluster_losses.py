"""Fail-over to an asynchronous standby that had not received the last writes."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from service.embedded.child import Child, Command
from tests.support.cluster import ClusterDeployment
from tests.support.running import AccountClient, data_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@pytest_asyncio.fixture(loop_scope="session")
async def deployment() -> AsyncIterator[ClusterDeployment]:
    async with ClusterDeployment.open(synchronous=False) as opened:
        yield opened


async def test_after_a_loss_of_writes_a_raised_epoch_resets_feeds_and_continues(
    deployment: ClusterDeployment,
) -> None:
    account = await deployment.an_account()
    box = await account.a_vmbox()
    kept = await account.leave(box)
    await deployment.caught_up()
    standby = deployment.servers.postgres.standby
    await wait_until(lambda: shows(standby.url(), kept))
    await standby.kill()
    lost = [await account.leave(box) for _ in range(3)]
    await deployment.caught_up()
    cursor = (await feed(account))["next_cursor"]

    await deployment.servers.postgres.primary.kill()
    await standby.start()
    await deployment.servers.promote_standby()
    await deployment.recovered(account)

    listed = [row["media_id"] for row in await account.listed(box)]
    assert listed == [kept]
    assert not set(lost) & set(listed)
    await raise_epoch(deployment)
    page = await feed(account, since=cursor)
    assert page["reset"] is True
    new = await account.leave(box)
    await deployment.caught_up()
    following = await feed(account, since=page["next_cursor"])
    event = following["data"][-1]
    assert event["data"]["message"]["media_id"] == new
    assert event["data"]["epoch"] == epoch_of(cursor) + 1
    assert (await account.counts(box))["new"] == 2
    await account.http.aclose()


async def shows(url: str, media_id: str) -> bool:
    """Returns whether the standby has the message."""
    connection = await asyncpg.connect(url)
    try:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM messages WHERE hex(id) = right($1, 32))", media_id
            )
        )
    finally:
        await connection.close()


async def feed(account: AccountClient, **query: str) -> dict[str, Any]:
    answer = await account.http.get(account.path("events"), params=query)
    data_of(answer)
    page: dict[str, Any] = answer.json()
    return page


def epoch_of(cursor: str) -> int:
    return int(cursor.partition(".")[0])


async def raise_epoch(deployment: ClusterDeployment) -> None:
    """Runs the command of the run book while the processes run."""
    child = Child(
        "epoch",
        Command(
            argv=[sys.executable, "-m", "service", "epoch", "raise"],
            environment=deployment.environment,
            log=deployment.folder / "epoch.log",
        ),
    )
    await child.start()
    assert await child.wait() == 0
