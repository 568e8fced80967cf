"""The relay is killed, frozen or started twice, and its stream is deleted: no event is lost."""

import pytest

from tests.support.admin import AdminPort
from tests.support.clients import Clients
from tests.support.deployment import Deployment
from tests.support.ledger import Ledger
from tests.support.ports import free_port
from tests.support.running import AccountClient
from tests.support.waiting import wait_until

PUBLISH, ACKNOWLEDGED = b"HPUB voicemail.v1.", b'"seq":'
# The statement that marks events is the only one of a relay with arrays of 64-bit integers.
MARK = b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x14"
COMMITTED = b"Z\x00\x00\x00\x05I"


async def owns_all_shards(admin: AdminPort) -> bool:
    samples = await admin.samples()
    owned = [name for name, _ in samples if name == "aftertone_relay_shard_owned"]
    return len(owned) == await admin.value("aftertone_relay_shards")


async def killed(deployment: Deployment) -> None:
    await deployment.relay.kill()
    await deployment.start_relay()


async def test_relay_killed_before_it_gets_the_ack_of_a_published_event(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    with deployment.proxies.nats.hold_at(PUBLISH, ACKNOWLEDGED) as stop:
        await clients.store()
        await stop.reached()
        await killed(deployment)
    await clients.store()
    findings = await deployment.audit(account, ledger)
    assert findings.resent == 0


async def test_relay_killed_between_publish_and_mark(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    await deployment.caught_up()
    with deployment.proxies.relay_postgres.hold_at(MARK) as stop:
        await clients.store()
        await stop.reached()
        await killed(deployment)
    await clients.store()
    await deployment.audit(account, ledger)


@pytest.mark.long
async def test_relay_killed_while_its_mark_commits(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    await deployment.caught_up()
    with deployment.proxies.relay_postgres.hold_at(MARK, COMMITTED) as stop:
        await clients.store()
        await stop.reached()
        await killed(deployment)
    await clients.store()
    await deployment.audit(account, ledger)


async def test_a_mark_that_arrives_late_does_not_block_the_successor(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    await deployment.caught_up()
    with deployment.proxies.relay_postgres.hold_at(MARK) as stop:
        await clients.store()
        await stop.reached()
        await killed(deployment)
        await clients.store()
        await deployment.caught_up()
    await clients.store()
    await deployment.audit(account, ledger)


@pytest.mark.long  # the tests above kill the relay at each moment that matters
async def test_killed_under_load(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    async with clients.at_work():
        for _ in range(3):
            await clients.answered_more(5)
            await killed(deployment)
    await clients.repeat_unanswered()
    await deployment.audit(account, ledger)
    assert clients.answers["503"] == clients.answers["none"] == 0


@pytest.mark.long
async def test_of_two_relays_one_takes_over_the_shards_of_the_other(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    first, admin = deployment.relay, AdminPort(free_port())
    async with clients.at_work():
        second = await deployment.start_relay("second", **admin.environment)
        await wait_until(admin.is_ready)
        await wait_until(lambda: admin.shows(1, "aftertone_relay_active"))
        first.suspend()
        await wait_until(lambda: owns_all_shards(admin))
        await deployment.caught_up()
        first.resume()
        await clients.answered_more(5)
        await second.kill()
        await clients.answered_more(5)
    await deployment.audit(account, ledger)


async def test_of_three_relays_with_four_shards_one_is_killed_and_one_frozen(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    admin = AdminPort(free_port())
    async with clients.at_work():
        second = await deployment.start_relay("second")
        await deployment.start_relay("third", **admin.environment)
        await wait_until(admin.is_ready)
        with deployment.proxies.relay_postgres.hold_at(MARK) as stop:
            await stop.reached()
            await second.kill()
        deployment.relay.suspend()
        await wait_until(lambda: owns_all_shards(admin))
        deployment.relay.resume()
        await deployment.start_relay("second")
        await clients.answered_more(5)
    await deployment.audit(account, ledger)


async def test_a_wiped_stream_is_filled_again(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    async with clients.at_work():
        await clients.answered_more(10)
        await deployment.caught_up()
        await deployment.wipe_nats()
        await clients.answered_more(10)
    await deployment.audit(account, ledger, all_accounts=True)
