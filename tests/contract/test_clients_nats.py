"""The programs for subscribers in the README of the workers: with nats-py and with nats.js."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.clients.environments import NoIndex, node_folder
from tests.support.running import AccountClient, data_of
from tests.support.waiting import DEADLINE_S, wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

_README = Path(__file__).parents[2] / "service" / "workers" / "README.md"


@asynccontextmanager
async def _lines_of(
    account: AccountClient, *command: str, folder: Path
) -> AsyncIterator[asyncio.StreamReader]:
    """Runs a subscriber until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "AFTERTONE_NATS_URL": account.service.environment["AFTERTONE_NATS_URL"],
            "PYTHONUNBUFFERED": "1",
        },
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def _store(account: AccountClient) -> str:
    """Stores a message; returns the id of its event."""
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "events")
    start = (await account.http.get(path)).json()["next_cursor"]
    await account.leave(vmbox_id)
    ids: list[str] = []

    async def is_published() -> bool:
        events = data_of(await account.http.get(path, params={"since": start}))
        ids[:] = [event["id"] for event in events if event["type"] == "voicemail.message.new"]
        return bool(ids)

    await wait_until(is_published)
    return ids[0]


async def _line_with(text: str, lines: asyncio.StreamReader) -> str:
    async with asyncio.timeout(DEADLINE_S):
        async for line in lines:
            if text in line.decode():
                return line.decode()
    raise AssertionError("the subscriber has ended")


def _program(language: str) -> str:
    _, _, rest = _README.read_text().partition(f"```{language}\n")
    return rest.partition("```")[0]


async def test_the_documented_programs_read_the_headers_of_events(
    account: AccountClient, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    assert pytestconfig.cache is not None, "the packages are kept in pytest's cache"
    try:
        packages = await node_folder(pytestconfig.cache.mkdir("clients"))
    except NoIndex as reason:
        pytest.skip(f"the packages of npm are not installed: {reason}")
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    (tmp_path / "subscriber.mjs").write_text(_program("javascript"))
    (tmp_path / "subscriber.py").write_text(_program("python"))

    event_id = await _store(account)
    async with _lines_of(account, sys.executable, "subscriber.py", folder=tmp_path) as lines:
        line = await _line_with(event_id, lines)
    assert line.startswith(f"{event_id} ")

    event_id = await _store(account)
    async with _lines_of(account, "node", "subscriber.mjs", folder=tmp_path) as lines:
        line = await _line_with(event_id, lines)
    assert line == f"voicemail.message.new {event_id} {{ new: 1, saved: 0 }}\n"
