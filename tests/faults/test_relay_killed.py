"""The relay is killed, frozen, doubled and robbed of its stream: no event is lost or overtaken."""

import asyncio

from tests.support.clients import Clients
from tests.support.deployment import Deployment
from tests.support.ledger import Ledger
from tests.support.running import AccountClient

PUBLISH, ACKNOWLEDGED = b"HPUB voicemail.v1.", b'"seq":'
MARK, COMMIT, COMMITTED = b"BEGIN", b"COMMIT", b"Z\x00\x00\x00\x05I"


async def killed(deployment: Deployment) -> None:
    await deployment.relay.kill()
    await deployment.start_relay()


async def test_killed_when_an_event_is_stored_and_its_ack_is_on_the_way(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    with deployment.proxies.nats.hold_at(PUBLISH, ACKNOWLEDGED) as stop:
        await clients.store()
        await stop.reached()
        await killed(deployment)
    await clients.store()
    findings = await deployment.audit(account, ledger)
    assert findings.resent == 0


async def test_killed_between_publish_and_mark(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    await deployment.caught_up()
    with deployment.proxies.relay_postgres.hold_at(MARK) as stop:
        await clients.store()
        await stop.reached()
        await killed(deployment)
    await clients.store()
    await deployment.audit(account, ledger)


async def test_killed_while_its_mark_commits(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    await deployment.caught_up()
    with deployment.proxies.relay_postgres.hold_at(COMMIT, COMMITTED) as stop:
        await clients.store()
        await stop.reached()
        await killed(deployment)
    await clients.store()
    await deployment.audit(account, ledger)


async def test_a_mark_that_commits_late_keeps_no_successor_out(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    await deployment.caught_up()
    with deployment.proxies.relay_postgres.hold_at(COMMIT) as stop:
        await clients.store()
        await stop.reached()
        await killed(deployment)
        await clients.store()
        await deployment.caught_up()
    await clients.store()
    await deployment.audit(account, ledger)


async def test_killed_under_load(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    async with clients.at_work():
        for _ in range(3):
            await asyncio.sleep(0.3)
            await killed(deployment)
    await clients.repeat_unanswered()
    await deployment.audit(account, ledger)
    assert clients.answers["503"] == clients.answers["none"] == 0


async def test_of_two_relays_one_takes_over_when_the_other_is_killed_or_frozen(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    first = deployment.relay
    async with clients.at_work():
        second = await deployment.start_relay("second")
        await asyncio.sleep(0.5)
        first.suspend()
        assert await deployment.caught_up() < 6
        first.resume()
        await asyncio.sleep(0.3)
        await second.kill()
        await asyncio.sleep(0.3)
    await deployment.audit(account, ledger)


async def test_a_wiped_stream_is_filled_again(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    async with clients.at_work():
        await asyncio.sleep(0.5)
        await deployment.wipe_nats()
        await asyncio.sleep(0.5)
    await deployment.audit(account, ledger, all_accounts=True)
