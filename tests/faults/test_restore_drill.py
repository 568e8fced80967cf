"""The run book's drill: back up, destroy, restore with its commands, compare."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from service.audio.s3_session import BucketSettings
from service.audio.store import AudioStore
from service.bus import StreamSettings
from service.embedded.binaries import installed_programs
from tests.support.deployment import Deployment
from tests.support.relay import Received, everything_in
from tests.support.running import AccountClient
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]

# Stands in for `aws s3 sync` of the AWS command line, which is too large to install for it.
_AWS = f"""\
#!{sys.executable}
import sys
from tests.faults.bucket_copy import sync
assert sys.argv[1:3] == ["s3", "sync"], sys.argv
sync(*sys.argv[3:])
"""


class Snapshot(msgspec.Struct, frozen=True):
    """Content of a box over HTTP."""

    listed: list[dict[str, Any]]
    counts: dict[str, int]
    audio: dict[str, bytes]


@pytest_asyncio.fixture(loop_scope="session")
async def lone_deployment() -> AsyncIterator[Deployment]:
    """Deployment of this test only, which destroys it."""
    async with Deployment.open() as opened:
        yield opened


@pytest.mark.long
async def test_a_restore_from_a_backup_is_complete(
    lone_deployment: Deployment, tmp_path: Path
) -> None:
    drill = Drill(lone_deployment, tmp_path)
    await drill.deployment.restore()
    account = await drill.deployment.an_account()
    boxes = [await account.a_vmbox() for _ in range(3)]
    await store_messages(account, boxes)
    before = {box: await record(account, box) for box in boxes}
    await drill.deployment.caught_up()
    events_before = await drill.events()

    await drill.run("back up")
    await account.leave(boxes[0], b"\0left after the backup")
    await drill.destroy()
    await drill.run("restore")
    await drill.deployment.start_api()
    after = {box: await record(account, box) for box in boxes}

    assert after == before
    assert before[boxes[0]].audio  # there was something to compare

    await drill.deployment.start_relay()
    republished = await drill.events(len(events_before))
    assert by_box(republished) == by_box(events_before)

    media_id = await account.leave(boxes[0], b"\0left after the restore")
    newest = (await drill.events(len(events_before) + 1))[-1]
    assert newest.data["message"]["media_id"] == media_id
    assert newest.data["epoch"] == events_before[-1].data["epoch"] + 1
    await account.http.aclose()


async def store_messages(account: AccountClient, boxes: list[str]) -> None:
    """Stores messages of all kinds: new, saved, removed, without audio, large."""
    for number, box in enumerate(boxes):
        for sound in range(4):
            size = 3_000_000 if (number, sound) == (0, 0) else 2_000 + sound
            await account.leave(box, os.urandom(size), caller_id_number=f"+4420{sound}")
        kept, removed, *_ = await account.listed(box)
        path = account.path("vmboxes", box, "messages")
        saved = await account.http.post(
            f"{path}/{kept['media_id']}", json={"data": {"folder": "saved"}}
        )
        gone = await account.http.delete(f"{path}/{removed['media_id']}")
        pending = await account.http.put(path, json={"data": {"caller_id_number": "+44"}})
        assert (saved.status_code, gone.status_code, pending.status_code) == (200, 200, 201)


async def record(account: AccountClient, box: str) -> Snapshot:
    listed = await account.listed(box)
    audio = {}
    for row in listed:
        path = account.path("vmboxes", box, "messages", row["media_id"], "raw")
        answer = await account.http.get(path)
        if answer.status_code == 200:
            audio[row["media_id"]] = answer.content
    return Snapshot(listed, await account.counts(box), audio)


class Drill:
    """Runs the run book's blocks in the environment of an operator."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self._folder = folder
        (folder / "backup").mkdir()
        aws = folder / "aws"
        aws.write_text(_AWS)
        aws.chmod(0o755)

    async def run(self, block: str) -> None:
        """Every command of it must succeed."""
        postgres = installed_programs().postgres_folder
        places = (self._folder, postgres, Path(sys.executable).parent)
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euxc", commands(block)),
            env={
                **self.deployment.environment,
                **self.deployment.servers.environment(),
                "PATH": ":".join([*map(str, places), "/usr/bin", "/bin"]),
                "PYTHONPATH": str(ROOT),
                "BACKUP": str(self._folder / "backup"),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()

    async def destroy(self) -> None:
        """Destroys everything except the backup, the key ring and the names of the roles."""
        deployment = self.deployment
        await asyncio.gather(*(child.kill() for child in deployment.processes.values()))
        servers = deployment.servers
        await asyncio.gather(*(server.kill() for server in servers.all))
        for server in servers.all:
            await asyncio.to_thread(shutil.rmtree, server.data)
        await asyncio.gather(*(server.start() for server in servers.all))
        await self._make_bucket()

    async def _make_bucket(self) -> None:
        environment = self.deployment.servers.environment()
        with pytest.MonkeyPatch.context() as process:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                process.setenv(name, environment[name])
            async with AudioStore.open(
                BucketSettings(
                    endpoint=environment["AFTERTONE_S3_ENDPOINT"],
                    bucket=environment["AFTERTONE_S3_BUCKET"],
                    region=environment["AFTERTONE_S3_REGION"],
                    addressing_style="path",
                    pool_size=4,
                    connect_timeout_s=2,
                    timeout_s=20,
                )
            ) as store:
                await store.ensure_bucket()

    async def events(self, number: int = 1) -> list[Received]:
        """Returns the messages of the stream, once there are `count`."""
        results: list[Received] = []

        async def are_there() -> bool:
            results[:] = await everything_in(self.deployment.servers.nats.url(), StreamSettings())
            return len(results) >= number

        await wait_until(are_there, every_s=0.5)
        return results


def by_box(events: Sequence[Received]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Groups events by box, because events of different boxes have no order."""
    return {
        box: [(event.id, event.data) for event in events if event.vmbox_id == box]
        for box in {event.vmbox_id for event in events}
    }


def commands(block: str) -> str:
    """The lines of a block of the run book, which may stand in a list."""
    text = (ROOT / "deploy" / "README.md").read_text()
    match = re.search(rf"^( *)<!-- drill: {block} -->\n\1```sh\n(.+?)^\1```$", text, re.M | re.S)
    assert match is not None, block
    return "\n".join(line.removeprefix(match[1]) for line in match[2].splitlines())
