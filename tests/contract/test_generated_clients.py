"""Clients that generators make of the OpenAPI document, and linters over both documents."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

from service.api.app import describe
from service.api.description.asyncapi import describe_events
from tests.contract.clients.environments import NoIndex, interpreter, node_folder
from tests.support.running import AccountClient

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

_CLIENTS = Path(__file__).parent / "clients"
_AUDIO = Path(__file__).parents[1] / "support" / "tone.mp3"
_MAX_WARNINGS = 9
_DOCUMENTS = {"openapi": describe, "asyncapi": describe_events}
# Formatters are not needed, and bytes of this type are a file like those of any other.
_GENERATOR = {
    "post_hooks": [],
    "content_type_overrides": {"application/zip": "application/octet-stream"},
}
_TOUR = {
    "box": "Front desk",
    "boxes": ["3000"],
    "others": 0,
    "listed": ["Ann"],
    "is_identical": True,
    "part": [206, 100],
    "saved": "saved",
    "removed": "deleted",
    "gone": ["404", "bad_identifier"],
    "bad": ["400", ["mailbox"]],
    "events": [
        "voicemail.vmbox.created",
        "voicemail.message.new",
        "voicemail.message.folder_changed",
        "voicemail.message.removed",
    ],
}


@pytest.fixture(scope="module")
def cache(pytestconfig: pytest.Config) -> Path:
    """The folder in which installed packages are kept."""
    assert pytestconfig.cache is not None, "the environments are kept in pytest's cache"
    return pytestconfig.cache.mkdir("clients")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def python(cache: Path) -> Path:
    """The Python that has the generator of Python clients."""
    try:
        return await interpreter("openapi_python_client", cache)
    except NoIndex as reason:
        pytest.skip(f"openapi-python-client is not installed: {reason}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def node_modules(cache: Path) -> Path:
    """The packages of npm: the generator of TypeScript, its compiler, and the linters."""
    try:
        return await node_folder(cache) / "node_modules"
    except NoIndex as reason:
        pytest.skip(f"the packages of npm are not installed: {reason}")


@pytest_asyncio.fixture(loop_scope="session")
async def description(account: AccountClient, tmp_path: Path) -> AsyncIterator[Path]:
    """The OpenAPI document, as the service serves it."""
    async with httpx.AsyncClient() as client:
        content = (await client.get(f"{account.service.url}/openapi.json")).content
    path = tmp_path / "openapi.json"
    path.write_bytes(content)
    yield path


async def test_a_python_client_is_generated_completely_and_does_the_tour(
    account: AccountClient, description: Path, python: Path
) -> None:
    folder = description.parent
    (folder / "settings.yaml").write_bytes(msgspec.json.encode(_GENERATOR))
    await _run(
        *(str(python), "-m", "openapi_python_client", "generate", "--path", "openapi.json"),
        *(
            "--meta",
            "none",
            "--output-path",
            "generated",
            "--config",
            "settings.yaml",
            "--fail-on-warning",
        ),
        folder=folder,
    )
    tour = await _run(
        *(str(python), str(_CLIENTS / "drive_generated.py"), _parameters(account)),
        folder=folder,
        PYTHONPATH=str(folder),
    )
    assert msgspec.json.decode(tour) == _TOUR


async def test_a_typescript_client_is_generated_compiles_and_does_the_tour(
    account: AccountClient, description: Path, node_modules: Path
) -> None:
    folder = description.parent
    for name in ("drive.ts", "package.json", "tsconfig.json"):
        shutil.copy(_CLIENTS / "typescript" / name, folder)
    (folder / "node_modules").symlink_to(node_modules)
    await _tool(node_modules, "openapi-typescript", "openapi.json", "-o", "api.ts", folder=folder)
    await _tool(node_modules, "tsc", "--project", ".", folder=folder)
    tour = await _run("node", "built/drive.js", _parameters(account), folder=folder)
    assert msgspec.json.decode(tour) == _TOUR


@pytest.mark.parametrize("name", _DOCUMENTS)
async def test_spectral_finds_no_error(name: str, node_modules: Path, tmp_path: Path) -> None:
    (tmp_path / "document.json").write_bytes(msgspec.json.encode(_DOCUMENTS[name]()))
    ruleset = str(_CLIENTS / "spectral.yaml")
    options = ("lint", "document.json", "--ruleset", ruleset, "--format", "json", "--quiet")
    output = await _tool(node_modules, "spectral", *options, folder=tmp_path)
    severities = [problem["severity"] for problem in msgspec.json.decode(output)]
    assert severities.count(0) == 0, output
    assert severities.count(1) <= _MAX_WARNINGS, output


@pytest.mark.parametrize("name", _DOCUMENTS)
async def test_redocly_finds_no_error(name: str, node_modules: Path, tmp_path: Path) -> None:
    (tmp_path / "document.json").write_bytes(msgspec.json.encode(_DOCUMENTS[name]()))
    options = ("lint", "document.json", "--format", "json")
    output = await _tool(node_modules, "redocly", *options, folder=tmp_path)
    totals = msgspec.json.decode(output)["totals"]
    assert totals["errors"] == 0, output
    assert totals["warnings"] <= _MAX_WARNINGS, output


def _parameters(account: AccountClient) -> str:
    parameters = {
        "url": account.service.url,
        "token": account.token,
        "account_id": account.account_id,
        "audio": str(_AUDIO),
    }
    return msgspec.json.encode(parameters).decode()


async def _tool(node_modules: Path, name: str, *arguments: str, folder: Path) -> str:
    return await _run("node", str(node_modules / ".bin" / name), *arguments, folder=folder)


async def _run(*command: str, folder: Path, **environment: str) -> str:
    """Runs a command, which must succeed; returns its output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "NO_PROXY": "*",
            "REDOCLY_TELEMETRY": "off",
            "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
            **environment,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = (text.decode(errors="replace") for text in await process.communicate())
    assert process.returncode == 0, (output + errors)[-10_000:]
    return output
