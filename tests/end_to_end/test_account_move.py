"""Move of an account between two deployments: what clients and subscribers see."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.support.account_content import content_of, fill
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.two_deployments import (
    Deployments,
    events_in,
    open_deployments,
    rows_of,
)
from tests.support.waiting import DEADLINE_S, wait_until


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deployments(service: RunningService, servers_folder: Path) -> AsyncIterator[Deployments]:
    async with open_deployments(service, servers_folder / "second") as opened:
        yield opened


async def test_an_account_is_served_by_its_new_deployment_after_a_move(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await fill(account)
    before = await content_of(account, vmbox_id)
    assert len(before.messages) == 3
    assert len(before.trash) == 1

    code, output = await deployments.move(account.account_id)

    assert code == 0, output
    assert f"moved 1 accounts to {deployments.second.url}" in output
    async with deployments.moved(account) as there:
        assert await content_of(there, vmbox_id) == before
        await _assert_redirected(deployments, account, vmbox_id)
        new = await there.leave(vmbox_id)
        assert (await there.counts(vmbox_id))["new"] == 3
        await _assert_events_continue(deployments, account, new)

        # A repetition does not replace the records that the new deployment has made.
        audit = await rows_of(deployments.second, "audit", account)
        code, output = await deployments.move(account.account_id)
        assert code == 0, output
        assert await rows_of(deployments.second, "audit", account) >= audit

        code, output = await deployments.move(account.account_id, "--reverse")
        assert code == 1
        assert "Move it back from there" in output

        code, output = await deployments.move(account.account_id, "--confirm")
        assert code == 0, output
        assert await rows_of(deployments.first, "messages", account) == 0
        assert len(await there.listed(vmbox_id)) == 4
        await _assert_redirected(deployments, account, vmbox_id)
        for option in ((), ("--confirm",)):
            code, output = await deployments.move(account.account_id, *option)
            assert code == 0, output
        assert await rows_of(deployments.second, "audit", account) >= audit
        assert len(await there.listed(vmbox_id)) == 4


async def _assert_redirected(
    deployments: Deployments, account: AccountClient, vmbox_id: str
) -> None:
    path = account.path("vmboxes", vmbox_id, "messages")

    async def is_redirected() -> bool:
        return (await account.http.get(path)).status_code == 308

    # A process applies the change within 5 s; until then the account is read-only.
    await wait_until(is_redirected, every_s=0.1)
    for answer in (
        await account.http.get(path, params={"page_size": "2"}),
        await account.http.put(path, json={"data": {}}),
    ):
        assert answer.status_code == 308
        assert answer.headers["location"].startswith(f"{deployments.second.url}/v2/{path}")
        assert answer.json()["message"] == "account_moved"
    assert answer.request.method == "PUT"
    read = await account.http.get(path, params={"page_size": "2"})
    assert read.headers["location"].endswith("?page_size=2")


async def _assert_events_continue(
    deployments: Deployments, account: AccountClient, new_message: str
) -> None:
    """Checks the events of both sides: the copied messages are not announced again."""
    before = (await events_in(deployments.first, [account]))[account.account_id]
    after = (await events_in(deployments.second, [account]))[account.account_id]
    assert before[-1].subject.endswith("account.moved")
    assert before[-1].data["url"] == deployments.second.url
    [event] = after
    assert event.subject.endswith("message.new")
    assert event.data["message"]["media_id"] == new_message
    assert event.sequence == before[-2].sequence + 1
    assert event.data["epoch"] > before[-1].data["epoch"]


@pytest.mark.long
async def test_a_move_is_reversed_while_the_account_was_not_changed(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await fill(account)
    before = await content_of(account, vmbox_id)
    code, output = await deployments.move(account.account_id)
    assert code == 0, output

    code, output = await deployments.move(account.account_id, "--reverse")

    assert code == 0, output
    await _until_served(account, vmbox_id)
    assert await content_of(account, vmbox_id) == before
    assert await rows_of(deployments.second, "messages", account) == 0
    path = account.path("vmboxes", vmbox_id)

    async def is_writable() -> bool:
        answer = await account.http.patch(path, json={"data": {"name": uuid4().hex}})
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200

    await wait_until(is_writable, every_s=0.2)
    await account.leave(vmbox_id)


async def _until_served(account: AccountClient, vmbox_id: str) -> None:
    async def is_served() -> bool:
        return (await account.http.get(account.path("vmboxes", vmbox_id))).status_code == 200

    await wait_until(is_served, every_s=0.2)


@pytest.mark.long
async def test_changes_of_an_account_that_is_being_moved_get_a_503(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    process = await deployments.start(account.account_id)
    assert await process.reaches("copying audio")
    path, name = account.path("vmboxes", vmbox_id), ""
    renamed = data_of(
        await account.http.patch(account.path(), json={"data": {"name": uuid4().hex}})
    )
    answer = httpx.Response(200)
    async with asyncio.timeout(DEADLINE_S):
        while answer.status_code == 200:
            name = answer.json()["data"]["name"] if answer.content else ""
            answer = await account.http.patch(path, json={"data": {"name": uuid4().hex}})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert (await account.http.get(path)).status_code in (200, 308)
    assert await process.ended() == 0
    async with deployments.moved(account) as there:
        assert data_of(await there.http.get(path))["name"] == name
        assert data_of(await there.http.get(there.path()))["name"] == renamed["name"]


@pytest.mark.long
async def test_a_key_ring_that_cannot_read_the_secrets_refuses_the_move(
    deployments: Deployments, account: AccountClient, tmp_path: Path
) -> None:
    other = tmp_path / "keys.json"
    create = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "keys", "generate", str(other)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await create.wait() == 0
    keys = deployments.second.environment["AFTERTONE_KEY_RING_FILE"]
    deployments.second.environment["AFTERTONE_KEY_RING_FILE"] = str(other)
    try:
        code, output = await deployments.move(account.account_id)
    finally:
        deployments.second.environment["AFTERTONE_KEY_RING_FILE"] = keys
    assert code == 1
    assert "same pepper" in output
    assert (await account.http.get(account.path())).status_code == 200
