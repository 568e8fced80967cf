"""What hangs in the middle of a request, or falls silent for ever, holds nobody up for long."""

import asyncio
import time
from uuid import uuid4

import pytest

from tests.support.clients import Clients
from tests.support.deployment import DATABASE_TIMEOUT_S, S3_TIMEOUT_S, Deployment
from tests.support.ledger import Ledger
from tests.support.running import AccountClient, data_of

COPY, DONE = b"x-amz-copy-source", b"HTTP/1.1 200"


def padded(ids: list[str], count: int) -> list[str]:
    """These ids, and unknown ones up to `count`: a bulk takes a hundred at a time."""
    month = ids[0].partition("-")[0]
    return [*ids, *(f"{month}-{uuid4().hex}" for _ in range(count - len(ids)))]


def reasons_of(result: dict[str, list[dict[str, str]]]) -> list[str]:
    return [reason for failed in result["failed"] for reason in failed.values()]


async def test_a_bulk_waits_for_the_database_once(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    entry = await clients.stored()
    path = account.path("vmboxes", entry.vmbox_id, "messages")
    ids = padded([entry.media_id], 500)
    of_second_hundred = bytes.fromhex(ids[100].partition("-")[2])
    with deployment.proxies.postgres.hold_at(of_second_hundred):
        began = time.monotonic()
        answer = await account.http.post(
            path, json={"data": {"folder": "deleted", "messages": ids}}
        )
        assert time.monotonic() - began < DATABASE_TIMEOUT_S + 2
    result = data_of(answer)
    assert result["succeeded"] == ids[:1]
    assert reasons_of(result) == ["not_found"] * 99 + ["datastore_unreachable"] * 400
    await deployment.audit(account, ledger)


async def test_a_bulk_waits_for_the_audio_store_once(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    source, target, _ = ledger.vmboxes
    entries = [await clients.stored(source) for _ in range(4)]
    path = account.path("vmboxes", source, "messages")
    ids = [one for entry in entries for one in padded([entry.media_id], 100)]
    with deployment.proxies.s3.hold_at(COPY, DONE, nth=2):
        began = time.monotonic()
        body = {"data": {"source_id": target, "messages": ids}}
        answer = await account.http.post(path, json=body)
        assert time.monotonic() - began < S3_TIMEOUT_S + 1
    result = data_of(answer)
    assert len(result["succeeded"]) == 1
    assert reasons_of(result) == ["not_found"] * 99 + ["datastore_unreachable"] * 300
    entries[0].media_id, entries[0].vmbox_id = result["succeeded"][0], target
    await deployment.audit(account, ledger)


@pytest.mark.long
async def test_connections_that_fall_silent_for_ever_are_given_up(
    deployment: Deployment, account: AccountClient, clients: Clients, ledger: Ledger
) -> None:
    await clients.stored()
    for proxy in deployment.proxies.all:
        proxy.lose()
    await deployment.recovered(account, within_s=20)
    async with asyncio.timeout(10):
        while not (await clients.store()).media_id:
            pass
    assert await deployment.caught_up(within_s=60) < 15
    await clients.repeat_unanswered()
    await deployment.audit(account, ledger)
