"""Move of an account between two deployments: what clients and subscribers see."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
import pytest_asyncio

from service.embedded.servers import EmbeddedServers
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import DEADLINE_S, wait_until

CELL = "https://cell2.example.com"


class Deployments(msgspec.Struct, frozen=True, kw_only=True):
    """Two deployments with the same keys; commands run in the first one."""

    first: RunningService
    second: RunningService

    @property
    def command_environment(self) -> dict[str, str]:
        return {**self.first.environment, "AFTERTONE_REQUEST_DEADLINE_S": "1"}

    async def start_move(self, account_id: str, *options: str) -> asyncio.subprocess.Process:
        """Starts `aftertone account move`."""
        file = self.second.folder / "target.env"
        lines = (f"{name}={value}" for name, value in self.second.environment.items())
        file.write_text("\n".join(["# settings of the target", *lines]))
        command = ("account", "move", account_id, "--to", CELL, "--target-settings", str(file))
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", *command, *options),
            env=self.command_environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def move(self, account_id: str, *options: str) -> tuple[int, str]:
        """Runs the command; returns its exit code and its output."""
        process = await self.start_move(account_id, *options)
        output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S * 4)
        assert process.returncode is not None
        return process.returncode, output.decode()

    @asynccontextmanager
    async def moved(self, account: AccountClient) -> AsyncIterator[AccountClient]:
        """The account, in the second deployment."""
        there = AccountClient(self.second, account.account_id, account.realm, account.token)
        try:
            yield there
        finally:
            await there.http.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deployments(
    service: RunningService, servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Deployments]:
    folder: Path = tmp_path_factory.mktemp("second")
    shutil.copy(service.environment["AFTERTONE_KEY_RING_FILE"], folder / "keys.json")
    name = f"cell_{uuid4().hex[:8]}"
    await servers.postgres.psql(f"CREATE DATABASE {name} OWNER aftertone_owner")
    second = RunningService(servers, folder)
    await second.prepare(
        elsewhere={
            "AFTERTONE_DATABASE_URL": servers.postgres.url(name, "aftertone"),
            "AFTERTONE_OWNER_DATABASE_URL": servers.postgres.url(name, "aftertone_owner"),
            "AFTERTONE_S3_BUCKET": name.replace("_", "-"),
            "AFTERTONE_STREAM_NAME": name.upper(),
        }
    )
    await second.start("api")
    yield Deployments(first=service, second=second)
    await second.stop()


class Content(msgspec.Struct, frozen=True):
    """What a client sees of an account."""

    boxes: Any
    messages: Any
    trash: Any
    audio: list[bytes]
    users: Any
    holds: Any


async def fill(account: AccountClient, messages: int = 4) -> str:
    """Creates a user, a box with messages of several kinds and a hold; returns the box."""
    user = {"username": "ann", "password": "correct horse", "first_name": "Ann", "last_name": "B"}
    data_of(await account.http.put(account.path("users"), json={"data": user}), 201)
    vmbox_id = await account.a_vmbox(pin="4711")
    ids = [
        await account.leave(vmbox_id, audio=b"audio" + number.to_bytes(2), caller_id_number="1001")
        for number in range(messages)
    ]
    path = account.path("vmboxes", vmbox_id, "messages", ids[0])
    data_of(await account.http.post(path, json={"data": {"folder": "saved"}}))
    data_of(await account.http.delete(account.path("vmboxes", vmbox_id, "messages", ids[1])))
    hold = {"name": "Case 7", "reason": "Claim", "caller_id_number": "1001"}
    data_of(await account.http.put(account.path("holds"), json={"data": hold}), 201)
    return vmbox_id


async def content_of(account: AccountClient, vmbox_id: str) -> Content:
    async def data(*parts: str) -> Any:
        return data_of(await account.http.get(account.path(*parts)))

    messages = await data("vmboxes", vmbox_id, "messages")
    return Content(
        boxes=await data("vmboxes"),
        messages=messages,
        trash=await data("vmboxes", vmbox_id, "trash"),
        audio=[
            (
                await account.http.get(
                    account.path("vmboxes", vmbox_id, "messages", message["media_id"], "raw")
                )
            ).content
            for message in messages
        ],
        users=await data("users"),
        holds=await data("holds"),
    )


async def test_an_account_is_served_by_its_new_deployment_after_a_move(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await fill(account)
    before = await content_of(account, vmbox_id)
    assert len(before.messages) == 3
    assert len(before.trash) == 1

    code, output = await deployments.move(account.account_id)

    assert code == 0, output
    assert f"moved 1 accounts to {CELL}" in output
    async with deployments.moved(account) as there:
        assert await content_of(there, vmbox_id) == before
        await _assert_redirected(account, vmbox_id)
        await _assert_last_event(deployments, account)
        await there.leave(vmbox_id)
        assert (await there.counts(vmbox_id))["new"] == 3

        # A repetition does not replace the records that the new deployment has made.
        audit = await _rows_of(deployments.second, "audit", account)
        code, output = await deployments.move(account.account_id)
        assert code == 0, output
        assert await _rows_of(deployments.second, "audit", account) >= audit

        code, output = await deployments.move(account.account_id, "--reverse")
        assert code == 1
        assert "Move it back from there" in output

        code, output = await deployments.move(account.account_id, "--confirm")
        assert code == 0, output
        assert await _rows_of(deployments.first, "messages", account) == 0
        assert len(await there.listed(vmbox_id)) == 4
        await _assert_redirected(account, vmbox_id)
        for option in ((), ("--confirm",)):
            code, output = await deployments.move(account.account_id, *option)
            assert code == 0, output
        assert await _rows_of(deployments.second, "audit", account) >= audit
        assert len(await there.listed(vmbox_id)) == 4


async def _assert_redirected(account: AccountClient, vmbox_id: str) -> None:
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
        assert answer.headers["location"].startswith(f"{CELL}/v2/{path}")
        assert answer.json()["message"] == "account_moved"
    assert answer.request.method == "PUT"
    read = await account.http.get(path, params={"page_size": "2"})
    assert read.headers["location"].endswith("?page_size=2")


async def _assert_last_event(deployments: Deployments, account: AccountClient) -> None:
    last = await _psql(
        deployments.first,
        "SELECT type, data ->> 'url' FROM outbox "  # noqa: S608
        f"WHERE account_id = '{account.account_id}' ORDER BY seq DESC LIMIT 1",
    )
    assert last == f"account.moved|{CELL}"
    epochs = [
        int(await _psql(each, "SELECT epoch FROM deployment"))
        for each in (deployments.first, deployments.second)
    ]
    assert epochs[0] < epochs[1]


async def _rows_of(service: RunningService, table: str, account: AccountClient) -> int:
    statement = f"SELECT count(*) FROM {table} WHERE account_id = '{account.account_id}'"  # noqa: S608
    return int(await _psql(service, statement))


async def _psql(service: RunningService, statement: str) -> str:
    database = service.environment["AFTERTONE_DATABASE_URL"].partition("?")[0].rpartition("/")[2]
    return (await service.servers.postgres.psql(statement, database)).strip()


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
    assert await _rows_of(deployments.second, "messages", account) == 0
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


async def test_changes_of_an_account_that_is_being_moved_get_a_503(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    process = await deployments.start_move(account.account_id)
    path = account.path("vmboxes", vmbox_id)
    answer = httpx.Response(200)
    async with asyncio.timeout(DEADLINE_S):
        while answer.status_code == 200:
            answer = await account.http.patch(path, json={"data": {"name": uuid4().hex}})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert (await account.http.get(path)).status_code in (200, 308)
    await process.communicate()
    assert process.returncode == 0


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


@pytest.mark.long
async def test_a_move_that_is_killed_continues(
    deployments: Deployments, account: AccountClient
) -> None:
    vmbox_id = await fill(account, messages=200)
    before = await content_of(account, vmbox_id)
    for kill in range(20):
        process = await deployments.start_move(account.account_id)
        # The moments of the kills are spread over the whole move.
        done, _ = await asyncio.wait(
            {asyncio.create_task(process.wait())}, timeout=1.0 + 0.6 * kill
        )
        if done:
            break
        process.kill()
        await process.wait()
    code, output = await deployments.move(account.account_id)
    assert code == 0, output
    async with deployments.moved(account) as there:
        assert await content_of(there, vmbox_id) == before
