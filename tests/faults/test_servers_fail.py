"""Answers while Postgres, NATS or S3 is killed or frozen, and the data afterwards."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest

from service.embedded.server import Server
from tests.support.clients import Clients, check_outage
from tests.support.deployment import Deployment
from tests.support.ledger import Ledger
from tests.support.running import AccountClient, data_of, multipart
from tests.support.waiting import wait_until

killed_or_frozen = pytest.mark.parametrize("frozen", [False, True], ids=["killed", "frozen"])


async def fail(server: Server, *, frozen: bool) -> None:
    if frozen:
        server.suspend()
    else:
        await server.kill()


async def bring_back(deployment: Deployment, server: Server, *, frozen: bool) -> None:
    if frozen:
        server.resume()
        # The server now executes the requests that it received while it was frozen. An audit
        # needs a deployment at rest.
        await wait_until(lambda: deployment.is_at_rest)
    else:
        await server.start()


async def refused(*requests: Awaitable[httpx.Response]) -> None:
    """Sends all requests at once; each is answered with the error of an outage."""
    for answer in await asyncio.gather(*requests):
        check_outage(answer)


def a_store(account: AccountClient, vmbox_id: str, **data: Any) -> Awaitable[httpx.Response]:
    body = multipart(b"audio", "audio/mpeg", data)
    return account.http.put(account.path("vmboxes", vmbox_id, "messages"), **body)


@killed_or_frozen
async def test_without_nats_messages_are_stored_and_published_when_it_is_back(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger, frozen: bool
) -> None:
    entry = await clients.stored()
    await fail(deployment.servers.nats, frozen=frozen)
    for _ in range(5):
        await clients.store()
    await clients.file(entry)
    await clients.remove(entry)
    assert clients.answers.keys() == {"201", "200"}
    await bring_back(deployment, deployment.servers.nats, frozen=frozen)
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
    await bring_back(deployment, deployment.servers.s3, frozen=frozen)
    assert (await http.get(f"{message}/raw")).content == entry.audio
    for waiting in await account.listed(ledger.vmboxes[0]):
        if waiting["media_id"] != entry.media_id:
            await http.delete(f"{messages}/{waiting['media_id']}")
    await clients.store()
    await deployment.audit(account, ledger)


@killed_or_frozen
async def test_without_postgres_every_request_is_unavailable_until_it_is_back(
    deployment: Deployment, account: AccountClient, clients: Clients, frozen: bool
) -> None:
    entry = await clients.stored()
    api, relay = deployment.api.pid, deployment.relay.pid
    messages = account.path("vmboxes", entry.vmbox_id, "messages")
    message = f"{messages}/{entry.media_id}"
    await fail(deployment.servers.postgres, frozen=frozen)
    http = account.http
    await refused(
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
    await bring_back(deployment, deployment.servers.postgres, frozen=frozen)
    await deployment.recovered(account)
    await clients.repeat_unanswered()
    await deployment.caught_up()
    assert (deployment.api.pid, deployment.relay.pid) == (api, relay)


@pytest.mark.parametrize(
    "name",
    # The tests above prove what is different without NATS and S3.
    ["postgres", *(pytest.param(name, marks=pytest.mark.long) for name in ("nats", "s3"))],
)
async def test_a_server_is_killed_and_frozen_under_load(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger, name: str
) -> None:
    server: Server = getattr(deployment.servers, name)
    async with clients.at_work():
        for frozen in (False, True):
            await clients.answered_more(5)
            await fail(server, frozen=frozen)
            await clients.answered_more(5)
            await bring_back(deployment, server, frozen=frozen)
        await deployment.recovered(account)
    await deployment.let_leases_end()
    await clients.repeat_unanswered()
    assert clients.answers["none"] == 0
    await deployment.audit(account, ledger)
