"""Moves that must not happen, and what is left of the account then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.support.running import AccountClient, RunningService, data_of, multipart
from tests.support.two_deployments import Deployments, blocked_at, open_deployments, psql
from tests.support.waiting import wait_until

ELSEWHERE = "https://cell3.example.com"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deployments(service: RunningService, servers_folder: Path) -> AsyncIterator[Deployments]:
    async with open_deployments(service, servers_folder / "second-refused") as opened:
        yield opened


@asynccontextmanager
async def _without_relay(service: RunningService) -> AsyncIterator[None]:
    relay = service.processes["relay"]
    relay.suspend()
    try:
        yield
    finally:
        relay.resume()


async def _state(service: RunningService, account_id: str) -> str:
    statement = f"SELECT move_state FROM accounts WHERE account_id = '{account_id}'"  # noqa: S608
    return await psql(service, statement)


async def _set_state(service: RunningService, account_id: str, state: str, url: str) -> None:
    await psql(
        service,
        f"UPDATE accounts SET move_state = nullif('{state}', ''), moved_to = nullif('{url}', '') "  # noqa: S608
        f"WHERE account_id = '{account_id}'",
    )


@pytest.mark.long
async def test_a_move_whose_events_are_not_published_ends_before_the_account_is_read_only(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    async with _without_relay(deployments.first):
        await account.leave(vmbox_id)
        code, output = await deployments.move(account.account_id, "--wait", "1")
        assert code == 1
        assert "not published after 1 s" in output
        assert "run the command again" in output
        assert "read-only" not in output
        await account.leave(vmbox_id)


async def test_an_account_is_writable_again_after_its_move_has_waited_too_long(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    process = await deployments.start(account.account_id, "--wait", "1")
    assert await process.reaches("read-only")
    # No keeper runs, so this erasure is never finished.
    account_id = f"'{account.account_id}'"
    await psql(
        deployments.first,
        "INSERT INTO erasures (account_id, erasure_id, subject_id, kind, phase) VALUES "  # noqa: S608
        f"({account_id}, '{uuid4()}', {account_id}, 'person', 'messages')",
    )
    assert await process.ended() == 1
    assert "an erasure is not finished" in process.output
    assert await _state(deployments.first, account.account_id) == ""

    async def is_writable() -> bool:
        path = account.path("vmboxes", vmbox_id)
        answer = await account.http.patch(path, json={"data": {"name": uuid4().hex}})
        return answer.status_code == 200

    await wait_until(is_writable, every_s=0.2)


async def test_a_process_that_does_not_know_of_the_move_cannot_change_the_account(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    kept = await account.leave(vmbox_id)
    for state in ("leaving", "moved", "arriving"):
        # Without a time of the change, no process reads the account again.
        await _set_state(deployments.first, account.account_id, state, ELSEWHERE)
        answers = [
            await account.http.put(
                account.path("vmboxes", vmbox_id, "messages"), **multipart(b"a", "audio/mpeg", {})
            ),
            await account.http.post(
                account.path("vmboxes", vmbox_id, "messages", kept),
                json={"data": {"folder": "saved"}},
            ),
            await account.http.patch(
                account.path("vmboxes", vmbox_id), json={"data": {"name": "Other"}}
            ),
        ]
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert all(answer.headers["retry-after"] for answer in answers)
    await _set_state(deployments.first, account.account_id, "", "")
    [message] = await account.listed(vmbox_id)
    assert (message["media_id"], message["folder"]) == (kept, "new")


@pytest.mark.long
async def test_an_account_below_that_was_moved_on_its_own_prevents_the_move(
    deployments: Deployments, account: AccountClient
) -> None:
    realm = f"{uuid4().hex}.example"
    document = {"name": realm, "realm": realm}
    child = data_of(await account.http.put(account.path(), json={"data": document}), 201)["id"]
    await _set_state(deployments.first, child, "moved", ELSEWHERE)
    code, output = await deployments.move(account.account_id)
    assert code == 1
    assert f"moved to {ELSEWHERE} on its own" in output
    assert await _state(deployments.first, account.account_id) == ""


@pytest.mark.long
async def test_a_repeated_move_leaves_an_account_that_the_target_has_moved_on(
    deployments: Deployments, account: AccountClient
) -> None:
    await account.a_vmbox()
    async with blocked_at(deployments.second, "FROM deployment") as is_waiting:
        process = await deployments.start(account.account_id)
        await is_waiting()
        code, output = await deployments.move(account.account_id, "--reverse")
        assert code == 1
        assert "Another command is moving the account" in output
    assert await process.ended() == 0, process.output

    await _set_state(deployments.second, account.account_id, "moved", ELSEWHERE)
    code, output = await deployments.move(account.account_id)
    assert code == 0, output
    assert await _state(deployments.second, account.account_id) == "moved"
    code, output = await deployments.move(account.account_id, "--reverse")
    assert code == 1
    assert f"has moved the account to {ELSEWHERE}" in output
