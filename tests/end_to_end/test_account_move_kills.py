"""Moves, reversals and confirmations that are killed at each step, and what can be done then."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.support.account_content import content_of, fill
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.two_deployments import (
    Deployments,
    MoveProcess,
    blocked_at,
    events_in,
    open_deployments,
    psql,
    rows_of,
)
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

_DEPLOYMENT = "FROM deployment"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deployments(service: RunningService, servers_folder: Path) -> AsyncIterator[Deployments]:
    async with open_deployments(service, servers_folder / "second-kills") as opened:
        yield opened


def _row(table: str, account: AccountClient) -> str:
    return f"FROM {table} WHERE account_id = '{account.account_id}'"


async def _moved(deployments: Deployments, account: AccountClient, *options: str) -> None:
    code, output = await deployments.move(account.account_id, *options)
    assert code == 0, output


async def _killed_at(
    deployments: Deployments,
    side: RunningService,
    rows: str,
    account: AccountClient,
    *options: str,
) -> MoveProcess:
    """Runs the command until it waits for `rows` of `side`, and kills it there."""
    async with blocked_at(side, rows) as is_waiting:
        process = await deployments.start(account.account_id, *options)
        await is_waiting()
        await process.kill()
    return process


async def _until(account: AccountClient, method: str, path: str, status: int) -> None:
    async def is_answered() -> bool:
        data = {"name": uuid4().hex}
        body = {"json": {"data": data}} if method == "PATCH" else {}
        return (await account.http.request(method, path, **body)).status_code == status  # type: ignore[arg-type]

    await wait_until(is_answered, every_s=0.2)


async def test_a_killed_reversal_ends_with_the_account_served_here(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await fill(account)
    before = await content_of(account, vmbox_id)
    await _moved(deployments, account)
    first, second = deployments.first, deployments.second
    points = (
        (second, _row("accounts", account)),  # Nothing has happened.
        (second, _row("vmbox_counts", account)),  # The target is read-only.
        (first, _row("accounts", account)),  # Both sides are equal.
        (second, _row("users", account)),  # The source has changed, the target has all rows.
        (first, _DEPLOYMENT),  # The target has no rows any more.
    )
    for side, rows in points:
        await _killed_at(deployments, side, rows, account, "--reverse")

    await _moved(deployments, account, "--reverse")

    path = account.path("vmboxes", vmbox_id)
    await _until(account, "GET", path, 200)
    assert await content_of(account, vmbox_id) == before
    for table in ("accounts", "messages", "vmbox_counts", "users", "audit", "deliveries"):
        assert await rows_of(second, table, account) == 0
    await _until(account, "PATCH", path, 200)
    await account.leave(vmbox_id)
    events = (await events_in(first, [account]))[account.account_id]
    moved = next(n for n, each in enumerate(events) if each.subject.endswith("account.moved"))
    assert events[-1].subject.endswith("message.new")
    assert min(each.data["epoch"] for each in events[moved + 1 :]) > events[moved].data["epoch"]
    of_box = [each.sequence for each in events if each.data.get("vmbox_id") == vmbox_id]
    assert of_box == list(range(1, len(of_box) + 1))


async def test_a_move_ends_a_killed_reversal(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await fill(account)
    await _moved(deployments, account)
    path = account.path("vmboxes", vmbox_id)
    async with deployments.moved(account) as there:
        before = await content_of(there, vmbox_id)
        rows = _row("users", account)
        await _killed_at(deployments, deployments.second, rows, account, "--reverse")
        await _until(there, "PATCH", path, 503)
        await _until(account, "GET", path, 200)

        await _moved(deployments, account)

        await _until(account, "GET", path, 308)
        assert await content_of(there, vmbox_id) == before
        await _until(there, "PATCH", path, 200)
        code, output = await deployments.move(account.account_id, "--reverse")
        assert code == 1
        assert "Move it back from there" in output
        await _until(there, "PATCH", path, 200)


async def test_a_killed_confirmation_continues(
    deployments: Deployments, account: AccountClient
) -> None:
    child = await _child_of(deployments.first, account)
    vmbox_id, child_vmbox_id = await fill(account), await fill(child)
    await _moved(deployments, account)
    for each in (account, child):
        rows = _row("messages", each)
        await _killed_at(deployments, deployments.first, rows, account, "--confirm")
        assert await rows_of(deployments.first, "messages", child) > 0

    await _moved(deployments, account, "--confirm")

    for each, its_vmbox_id in ((account, vmbox_id), (child, child_vmbox_id)):
        assert await rows_of(deployments.first, "messages", each) == 0
        async with deployments.moved(each) as there:
            content = await content_of(there, its_vmbox_id)
            assert (len(content.messages), len(content.trash)) == (3, 1)
            assert all(content.audio)
        await _until(each, "GET", each.path("vmboxes", its_vmbox_id), 308)
    code, output = await deployments.move(account.account_id, "--reverse")
    assert code == 1
    assert "was confirmed" in output
    await child.http.aclose()


async def _child_of(service: RunningService, account: AccountClient) -> AccountClient:
    realm = f"{uuid4().hex}.example"
    document = {"name": realm, "realm": realm}
    made = await account.http.put(account.path(), json={"data": document})
    return AccountClient(service, data_of(made, 201)["id"], realm, account.token)


async def test_clients_are_redirected_only_when_the_target_serves_the_account(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await fill(account)
    path = account.path("vmboxes", vmbox_id)
    event_id = uuid4()
    await psql(
        deployments.first,
        "INSERT INTO deliveries (account_id, event_id, channel, target, status, next_at) VALUES "  # noqa: S608
        f"('{account.account_id}', '{event_id}', 'email', 'a@example.com', 'pending', 'infinity')",
    )
    await _killed_at(deployments, deployments.second, _DEPLOYMENT, account)

    # Killed after account.moved and before the target serves it.
    await _until(account, "PATCH", path, 503)
    assert (await account.http.get(path)).status_code == 200
    async with deployments.moved(account) as there:
        assert (await there.http.get(path)).status_code == 401
        assert await _delivery(deployments.first, event_id) == "dropped"
        assert await _delivery(deployments.second, event_id) == ""
        await _moved(deployments, account)
        await _until(account, "GET", path, 308)
        assert (await there.http.get(path)).status_code == 200
        assert await _delivery(deployments.second, event_id) == "pending"


async def _delivery(service: RunningService, event_id: object) -> str:
    statement = f"SELECT status FROM deliveries WHERE event_id = '{event_id}'"  # noqa: S608
    return await psql(service, statement)


async def test_a_killed_copy_is_removed_by_a_reversal(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await fill(account)
    before = await content_of(account, vmbox_id)
    process = await deployments.start(account.account_id)
    assert await process.reaches("read-only")
    await process.kill()
    assert await rows_of(deployments.second, "messages", account) == 4
    assert await rows_of(deployments.second, "accounts", account) == 1

    await _moved(deployments, account, "--reverse")

    assert await rows_of(deployments.second, "messages", account) == 0
    assert await rows_of(deployments.second, "accounts", account) == 0
    await _until(account, "PATCH", account.path("vmboxes", vmbox_id), 200)
    after = await content_of(account, vmbox_id)
    assert (after.messages, after.audio, after.trash) == (
        before.messages,
        before.audio,
        before.trash,
    )
