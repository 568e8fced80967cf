"""Postgres, NATS and S3 die, freeze and come back: what is answered meanwhile, and what is left."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest

from service.embedded.server import Server
from tests.support.clients import Clients, check_outage
from tests.support.deployment import DATABASE_TIMEOUT_S, S3_TIMEOUT_S, Deployment
from tests.support.ledger import Ledger
from tests.support.running import AccountClient, data_of, multipart

# A wait for a connection, a statement that is given up, and a second for this machine.
DATABASE_ANSWERS_WITHIN_S = DATABASE_TIMEOUT_S + (DATABASE_TIMEOUT_S + 1) + 1
S3_ANSWERS_WITHIN_S = S3_TIMEOUT_S + 1

killed_or_frozen = pytest.mark.parametrize("frozen", [False, True], ids=["killed", "frozen"])


async def fail(server: Server, *, frozen: bool) -> None:
    if frozen:
        server.suspend()
    else:
        await server.kill()


async def bring_back(server: Server, *, frozen: bool) -> None:
    if frozen:
        server.resume()
        # It does now what it had been asked, though nobody waits for that any more: an audit
        # wants a deployment at rest.
        await asyncio.sleep(2)
    else:
        await server.start()


async def refused(within_s: float, *requests: Awaitable[httpx.Response]) -> None:
    """All of them, asked at once, are told of an outage in that time."""
    async with asyncio.timeout(within_s):
        for answer in await asyncio.gather(*requests):
            check_outage(answer)


def a_store(account: AccountClient, vmbox_id: str, **data: Any) -> Awaitable[httpx.Response]:
    body = multipart(b"audio", "audio/mpeg", data)
    return account.http.put(account.path("vmboxes", vmbox_id, "messages"), **body)


@killed_or_frozen
async def test_without_nats_messages_are_stored_and_told_when_it_is_back(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger, frozen: bool
) -> None:
    entry = await clients.stored()
    await fail(deployment.servers.nats, frozen=frozen)
    for _ in range(5):
        await clients.store()
    await clients.file(entry)
    await clients.remove(entry)
    assert clients.answers.keys() == {"201", "200"}
    await bring_back(deployment.servers.nats, frozen=frozen)
    await deployment.audit(account, ledger)


@killed_or_frozen
async def test_without_s3_only_audio_is_unavailable(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger, frozen: bool
) -> None:
    entry = await clients.stored(ledger.vmboxes[0])
    other = await clients.stored(ledger.vmboxes[0])
    messages = account.path("vmboxes", ledger.vmboxes[0], "messages")
    message = f"{messages}/{entry.media_id}"
    pending = data_of(await account.http.put(messages, json={"data": {}}), 201)["media_id"]
    await fail(deployment.servers.s3, frozen=frozen)
    http = account.http
    await refused(
        S3_ANSWERS_WITHIN_S,
        a_store(account, ledger.vmboxes[0]),
        http.put(f"{messages}/{pending}/raw", content=b"a", headers={"Content-Type": "audio/wav"}),
        http.get(f"{message}/raw"),
        http.post(message, json={"data": {"source_id": ledger.vmboxes[1]}}),
        http.post(
            messages,
            json={"data": {"messages": [entry.media_id], "source_id": [ledger.vmboxes[1]]}},
        ),
    )
    assert len(await account.listed(ledger.vmboxes[0])) == 3
    assert (await http.get(message)).status_code == 200
    assert (await http.head(f"{message}/raw")).status_code == 200
    data_of(await http.put(messages, json={"data": {}}), 201)
    await clients.file(entry)
    await clients.remove(other)
    await account.a_vmbox()
    await bring_back(deployment.servers.s3, frozen=frozen)
    assert (await http.get(f"{message}/raw")).content == entry.audio
    for waiting in await account.listed(ledger.vmboxes[0]):
        if waiting["media_id"] != entry.media_id:
            await http.delete(f"{messages}/{waiting['media_id']}")
    await clients.store()
    await deployment.audit(account, ledger)


@killed_or_frozen
async def test_without_postgres_all_is_unavailable_until_it_is_back(
    deployment: Deployment, account: AccountClient, clients: Clients, frozen: bool
) -> None:
    entry = await clients.stored()
    api, relay = deployment.api.pid, deployment.relay.pid
    messages = account.path("vmboxes", entry.vmbox_id, "messages")
    message = f"{messages}/{entry.media_id}"
    await fail(deployment.servers.postgres, frozen=frozen)
    http = account.http
    await refused(
        DATABASE_ANSWERS_WITHIN_S,
        http.get(messages),
        http.get(message),
        http.get(f"{message}/raw"),
        http.get(account.path("vmboxes")),
        http.get(account.path("vmboxes", "messages")),
        http.put(account.path("vmboxes"), json={"data": {"name": "b", "mailbox": "7"}}),
        http.put(messages, json={"data": {}}),
        a_store(account, entry.vmbox_id),
        http.post(message, json={"data": {"folder": "saved"}}),
        http.post(messages, json={"data": {"messages": [entry.media_id], "folder": "saved"}}),
        http.delete(message),
        http.delete(messages),
        http.put("api_auth", json={"data": {"api_key": "0" * 64}}),
    )
    await clients.store()
    assert set(clients.answers) == {"201", "503"}
    await bring_back(deployment.servers.postgres, frozen=frozen)
    await deployment.recovered(account, within_s=5)
    await clients.repeat_unanswered()
    await deployment.caught_up()
    assert (deployment.api.pid, deployment.relay.pid) == (api, relay)


@pytest.mark.parametrize("name", ["postgres", "nats", "s3"])
async def test_a_server_dies_and_freezes_under_load(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger, name: str
) -> None:
    server: Server = getattr(deployment.servers, name)
    async with clients.at_work():
        for frozen in (False, True):
            await asyncio.sleep(0.2)
            await fail(server, frozen=frozen)
            await asyncio.sleep(DATABASE_TIMEOUT_S if frozen else 0.3)
            await bring_back(server, frozen=frozen)
        await deployment.recovered(account)
    await deployment.let_leases_end()
    await clients.repeat_unanswered()
    assert clients.answers["none"] == 0
    assert clients.slowest_s < DATABASE_ANSWERS_WITHIN_S + S3_ANSWERS_WITHIN_S
    await deployment.audit(account, ledger)
