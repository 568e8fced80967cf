"""Deadlines: a request that waits for a server ends after one timeout."""

from uuid import uuid4

import pytest

from tests.support.clients import Clients
from tests.support.deployment import Deployment
from tests.support.ledger import Ledger
from tests.support.running import AccountClient, data_of

COPY, DONE = b"x-amz-copy-source", b"HTTP/1.1 200"


def padded(ids: list[str], count: int) -> list[str]:
    """Adds unknown ids up to `count`; a batch is processed a hundred at a time."""
    month = ids[0].partition("-")[0]
    return [*ids, *(f"{month}-{uuid4().hex}" for _ in range(count - len(ids)))]


def reasons_of(result: dict[str, list[dict[str, str]]]) -> list[str]:
    return [reason for failed in result["failed"] for reason in failed.values()]


async def test_a_batch_waits_for_the_database_once(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    entry = await clients.stored()
    path = account.path("vmboxes", entry.vmbox_id, "messages")
    ids = padded([entry.media_id], 500)
    of_second_hundred = bytes.fromhex(ids[100].partition("-")[2])
    with deployment.proxies.postgres.hold_at(of_second_hundred):
        answer = await account.http.post(
            path, json={"data": {"folder": "deleted", "messages": ids}}
        )
    result = data_of(answer)
    assert result["succeeded"] == ids[:1]
    assert reasons_of(result) == ["not_found"] * 99 + ["datastore_unreachable"] * 400
    await deployment.audit(account, ledger)


@pytest.mark.long
async def test_a_batch_waits_for_the_audio_store_once(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    source, target, _ = ledger.vmboxes
    entries = [await clients.stored(source) for _ in range(4)]
    path = account.path("vmboxes", source, "messages")
    ids = [item for entry in entries for item in padded([entry.media_id], 100)]
    with deployment.proxies.s3.hold_at(COPY, DONE, nth=2):
        body = {"data": {"source_id": target, "messages": ids}}
        answer = await account.http.post(path, json=body)
    result = data_of(answer)
    assert len(result["succeeded"]) == 1
    assert reasons_of(result) == ["not_found"] * 99 + ["datastore_unreachable"] * 300
    entries[0].media_id, entries[0].vmbox_id = result["succeeded"][0], target
    await deployment.audit(account, ledger)


@pytest.mark.long
async def test_connections_that_never_answer_are_given_up(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    await clients.stored()
    for proxy in deployment.proxies.all:
        proxy.lose()
    await deployment.recovered(account)
    await clients.stored()
    await deployment.caught_up()
    await clients.repeat_unanswered()
    await deployment.audit(account, ledger)
