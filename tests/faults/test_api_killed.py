"""The API is killed with -9 at points that a proxy chooses; clients repeat their requests."""

import asyncio
import hashlib

import httpx
import pytest

from tests.support.clients import Clients
from tests.support.deployment import Deployment
from tests.support.ledger import Ledger
from tests.support.running import NO_TLS, AccountClient, data_of
from tests.support.waiting import wait_until

# What passes to S3 and back.
PUT, COPY, DONE = b"PUT /aftertone/audio/", b"x-amz-copy-source", b"HTTP/1.1 200"
# The statement that writes a message is the one that names its object; Postgres is ready again when
# it has committed.
WRITE, COMMITTED = b"audio/2", b"Z\x00\x00\x00\x05I"


async def restarted(deployment: Deployment) -> None:
    await deployment.api.kill()
    await deployment.start_api()
    await deployment.let_leases_end()


async def test_api_killed_between_the_put_and_the_insert(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    with deployment.proxies.s3.hold_at(PUT, DONE) as stop:
        store = asyncio.create_task(clients.store())
        await stop.reached()
        await restarted(deployment)
    await store
    assert await clients.repeat_unanswered() == 1
    findings = await deployment.audit(account, ledger)
    assert (findings.listed, findings.acknowledged, findings.orphans_swept) == (1, 1, 1)


async def test_api_killed_after_the_insert_and_before_its_answer(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    with deployment.proxies.postgres.hold_at(WRITE, COMMITTED) as stop:
        store = asyncio.create_task(clients.store())
        await stop.reached()
        await restarted(deployment)
    await store
    assert await clients.repeat_unanswered() == 1
    findings = await deployment.audit(account, ledger)
    assert (findings.listed, findings.acknowledged, findings.orphans_swept) == (1, 1, 0)


async def test_a_late_insert_fails_because_its_key_was_taken_over(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    with deployment.proxies.postgres.hold_at(WRITE) as stop:
        store = asyncio.create_task(clients.store())
        await stop.reached()
        await restarted(deployment)
        await store
        assert await clients.repeat_unanswered() == 1
    # Only now does Postgres receive and execute the statement of the killed process.
    await wait_until(lambda: deployment.is_at_rest)
    findings = await deployment.audit(account, ledger)
    assert (findings.listed, findings.acknowledged, findings.orphans_swept) == (1, 1, 1)


@pytest.mark.long
async def test_api_killed_during_a_move_after_the_copy(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    entry = await clients.stored(ledger.vmboxes[0])
    with deployment.proxies.s3.hold_at(COPY, DONE) as stop:
        move = asyncio.create_task(clients.move(entry, ledger.vmboxes[1]))
        await stop.reached()
        await restarted(deployment)
    await move
    findings = await deployment.audit(account, ledger)
    assert (findings.listed, findings.orphans_swept) == (1, 1)
    assert len(await account.listed(ledger.vmboxes[0])) == 1


async def test_api_killed_during_a_batch_move_that_is_repeated(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    source, target, _ = ledger.vmboxes
    entries = [
        entry
        for _ in range(13)
        for entry in await asyncio.gather(*(clients.stored(source) for _ in range(8)))
    ]
    # The first hundred have arrived; of the rest the audio alone.
    with deployment.proxies.s3.hold_at(COPY, DONE, nth=102) as stop:
        move = asyncio.create_task(clients.transfer(entries, moved=True, target=target))
        await stop.reached()
        await restarted(deployment)
    await move
    assert len(await account.listed(target, paginate="false")) == 100
    assert await clients.repeat_unanswered() == 1
    assert await account.listed(source) == []
    findings = await deployment.audit(account, ledger)
    assert (findings.listed, findings.acknowledged) == (104, 104)
    assert findings.orphans_swept >= 2


@pytest.mark.long
async def test_api_killed_after_a_batch_copy_and_before_its_answer(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    source, target, _ = ledger.vmboxes
    entries = [await clients.stored(source) for _ in range(3)]
    with deployment.proxies.postgres.hold_at(WRITE, COMMITTED) as stop:
        copy = asyncio.create_task(clients.transfer(entries, moved=False, target=target))
        await stop.reached()
        await restarted(deployment)
    await copy
    assert await clients.repeat_unanswered() == 1
    findings = await deployment.audit(account, ledger)
    assert (findings.listed, findings.acknowledged, findings.orphans_swept) == (6, 6, 0)


async def test_api_killed_between_a_direct_upload_and_its_message(
    deployment: Deployment, account: AccountClient, ledger: Ledger
) -> None:
    entry = ledger.begin(ledger.vmboxes[0])
    messages = account.path("vmboxes", entry.vmbox_id, "messages")
    announcement = {
        "size": len(entry.audio),
        "sha256": hashlib.sha256(entry.audio).hexdigest(),
        "content_type": "audio/mpeg",
        "caller_id_name": entry.marker,
    }
    public = {"AFTERTONE_S3_PUBLIC_ENDPOINT": deployment.servers.s3.endpoint()}
    other = await deployment.another_api(**public)
    async with other.client(account.token) as client, httpx.AsyncClient(verify=NO_TLS) as store:
        sent = []
        for _ in range(2):
            answer = await client.post(f"{messages}/upload", json={"data": announcement})
            announced = data_of(answer, 201)
            headers = announced["headers"]
            answer = await store.put(announced["url"], headers=headers, content=entry.audio)
            assert answer.status_code == 200
            sent.append(announced["upload"])
    await other.processes["api"].kill()
    # Any process completes an upload; the token holds all of it.
    completed = await account.http.put(messages, json={"data": {"upload": sent[0]}})
    entry.media_id, entry.least = data_of(completed, 201)["media_id"], 1
    findings = await deployment.audit(account, ledger)
    assert (findings.listed, findings.acknowledged, findings.orphans_swept) == (1, 1, 1)
    late = await account.http.put(messages, json={"data": {"upload": sent[1]}})
    assert (late.status_code, late.json()["message"]) == (409, "upload_missing")


@pytest.mark.long  # the tests above kill the API at each moment that matters
async def test_killed_under_load(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    async with clients.at_work():
        for _ in range(2):
            await clients.answered_more(10)
            await deployment.api.kill()
            await deployment.start_api()
        await wait_until(lambda: clients.answers["201"] > 10)
    await deployment.let_leases_end()
    await clients.repeat_unanswered()
    await deployment.audit(account, ledger)
    assert clients.answers["201"] > 10


async def test_a_frozen_api_resumes_after_another_has_taken_over_its_request(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    other = await deployment.another_api()
    entry = ledger.begin(ledger.vmboxes[0])
    requested = clients.storing(entry)
    there = AccountClient(other, account.account_id, account.realm, account.token)
    elsewhere = Clients(there, ledger)
    with deployment.proxies.s3.hold_at(PUT, DONE) as stop:
        first = asyncio.create_task(clients.send(requested))
        await stop.reached()
        deployment.api.suspend()
    answer = await elsewhere.send(requested)
    assert answer is not None
    assert (answer.status_code, answer.json()["message"]) == (409, "idempotency_key_in_use")
    await deployment.let_leases_end()
    await elsewhere.ask(requested)
    assert entry.media_id
    deployment.api.resume()
    late = await first
    assert late is not None
    assert late.status_code in {409, 503}
    again = await clients.send(requested)
    assert again is not None
    assert again.json()["data"]["media_id"] == entry.media_id
    await there.http.aclose()
    await other.stop()
    findings = await deployment.audit(account, ledger)
    assert findings.listed == 1
