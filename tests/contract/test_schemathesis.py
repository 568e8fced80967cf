"""Schemathesis over the OpenAPI document: whatever it sends is answered as the document says."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.running import AccountClient, data_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder for the files of a run."""
    return tmp_path


# On a machine that has other things to do it takes longer than other tests may.
@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_brief_run_finds_no_fault(account: AccountClient, folder: Path) -> None:
    await _settings(account, folder)
    brief = ["--max-examples", "3", "--seed", "1"]
    await _run(account, folder, *brief, briefly=True)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "options",
    [
        ("--phases", "examples,coverage"),
        ("--phases", "fuzzing", "--max-examples", "100"),
        ("--phases", "stateful", "--max-examples", "100", "--max-time", "300"),
    ],
    ids=["coverage", "fuzzing", "stateful"],
)
async def test_a_long_run_finds_no_fault(
    account: AccountClient, folder: Path, options: tuple[str, ...]
) -> None:
    await _settings(account, folder)
    await _run(account, folder, *options)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_a_long_run_in_the_audian_profile_finds_no_fault(
    account: AccountClient, folder: Path
) -> None:
    await _settings(account, folder, '"query.profile" = "audian"')
    tags = [part for tag in ("Boxes", "Messages", "Audio") for part in ("--include-tag", tag)]
    await _run(account, folder, "--phases", "coverage,stateful", "--max-time", "300", *tags)


async def _run(account: AccountClient, folder: Path, *options: str, briefly: bool = False) -> None:
    """Runs schemathesis in a process of its own; what it found is the message of the failure."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml")),
        *("run", f"{account.service.url}/openapi.json", "--continue-on-failure", *options),
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "FUZZ_BRIEFLY": "yes" if briefly else "no",
            "NO_COLOR": "1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")


async def _settings(account: AccountClient, folder: Path, *more: str) -> None:
    """Writes the settings of a run: a token, and accounts that it may change."""
    changed, deleted, renewed = [await _below(account) for _ in range(3)]
    spoilt = {
        ("replace_account", "patch_account"): changed,
        ("delete_account",): deleted,
        ("renew_api_key",): renewed,
    }
    lines = [
        'hooks = "tests.contract.fuzzing"',
        "[parameters]",
        f'"path.account_id" = "{account.account_id}"',
        f'"header.X-Auth-Account-ID" = "{account.account_id}"',
        *more,
        "[auth.openapi.token]",
        f'api_key = "{account.token}"',
        "[auth.openapi.mailbox_token]",
        f'api_key = "{account.token}"',
        "[generation]",
        "allow-x00 = false",
        'database = "none"',
        "[cache]",
        "enabled = false",
    ]
    for names, account_id in spoilt.items():
        lines += _operations(names, f'parameters = {{"path.account_id" = "{account_id}"}}')
    own = ("get_user_auth", "get_account_user_auth")
    lines += _operations(own, f'parameters = {{"path.token" = "{account.token}"}}')
    # Whoever ends a token needs another one afterwards.
    lines += _operations(("end_token",), f'headers = {{X-Auth-Token = "{await _token(account)}"}}')
    (folder / "schemathesis.toml").write_text("\n".join(lines))


def _operations(names: Sequence[str], setting: str) -> list[str]:
    listed = ", ".join(f'"{name}"' for name in names)
    return ["[[operations]]", f"include-operation-id = [{listed}]", setting]


async def _below(account: AccountClient) -> str:
    name = f"t{uuid4().hex}"
    made = await account.http.put(
        account.path(), json={"data": {"name": name, "realm": f"{name}.example"}}
    )
    account_id: str = data_of(made, 201)["id"]
    return account_id


async def _token(account: AccountClient) -> str:
    """Another token of the same account."""
    key = data_of(await account.http.get(account.path("api_key")))["api_key"]
    signed_in = await account.http.put("api_auth", json={"data": {"api_key": key}})
    token: str = signed_in.json()["auth_token"]
    return token
