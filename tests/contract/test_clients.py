"""Two clients of KAZOO's API as PyPI has them: `kazoo-sdk` 0.2.4 and `PyKazoo` 0.0a8."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio

from tests.contract.clients.environments import NoIndex, interpreter
from tests.contract.wire import ago
from tests.support.running import AccountClient, data_of

_HERE = Path(__file__).parent / "clients"
_NAMES = ("kazoo_sdk", "pykazoo")

Pythons = dict[str, Path | NoIndex]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pythons(pytestconfig: pytest.Config) -> AsyncIterator[Pythons]:
    """An interpreter for each client, or why there is none."""
    cache = pytestconfig.cache
    assert cache is not None, "the environments are kept in pytest's cache"
    folder = cache.mkdir("clients")
    made = await asyncio.gather(*(_made(name, folder) for name in _NAMES))
    yield dict(zip(_NAMES, made, strict=True))


async def _made(name: str, folder: Path) -> Path | NoIndex:
    try:
        return await interpreter(name, folder)
    except NoIndex as reason:
        return reason


async def driven(name: str, pythons: Pythons, account: AccountClient) -> dict[str, Any]:
    """Runs the client's program with an account and a user; returns its output."""
    python = pythons[name]
    if isinstance(python, NoIndex):
        pytest.skip(f"{name} is not installed, no package index answers: {python}")
    user = {"username": "ann", "password": uuid4().hex, "priv_level": "admin"}
    data_of(await account.http.put(account.path("users"), json={"data": user}), 201)
    key = data_of(await account.http.get(account.path("api_key")))["api_key"]
    parameters = {
        **user,
        "url": account.service.url,
        "account_id": account.account_id,
        "account_name": account.realm.removesuffix(".example"),
        "api_key": key,
        "timestamp": ago(days=40),
    }
    process = await asyncio.create_subprocess_exec(
        *(
            str(python),
            "-I",
            str(_HERE / f"drive_{name}.py"),
            msgspec.json.encode(parameters).decode(),
        ),
        env={"NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    result: dict[str, Any] = msgspec.json.decode(output)
    return result


def _assert_boxes(result: dict[str, Any], account: AccountClient) -> None:
    """Checks the use of boxes by both libraries."""
    made = result["made"]
    assert made["status"] == "success"
    assert (made["data"]["name"], made["data"]["mailbox"]) == ("Desk", "3000")
    assert made["metadata"]["id"] == made["data"]["id"]
    assert result["updated"] == {**made["data"], "name": "Front desk"} == result["read"]
    assert [row["name"] for row in result["listed"]["data"]] == ["Door", "Front desk"]
    assert [row["mailbox"] for row in result["filtered"]] == ["3001"]
    assert result["listed"]["auth_token"] != account.token


@pytest.mark.long
async def test_kazoo_sdk_signs_in_and_works_with_boxes_and_messages(
    pythons: Pythons, account: AccountClient
) -> None:
    result = await driven("kazoo_sdk", pythons, account)
    assert result["sign_in"]["user"]["account_id"] == account.account_id
    assert len(result["sign_in"]["user"]["owner_id"]) == 32
    assert result["sign_in"]["wrong"] == "KazooApiAuthenticationError"
    assert result["sign_in"]["unknown"] == "KazooApiAuthenticationError"

    boxes = result["boxes"]
    _assert_boxes(boxes, account)
    assert list(boxes["bad"]["mailbox"]) == ["unique"]
    assert boxes["unknown"] == "KazooApiError"

    messages = result["messages"]
    pending, whole = (messages[name][1]["media_id"] for name in ("raw", "whole"))
    assert messages["filed"] == [True, {"succeeded": [pending, whole], "failed": []}]
    assert {row["media_id"] for row in messages["saved"]} == {pending, whole}
    assert messages["one"][1]["caller_id_number"] == "6001"
    assert messages["removed"][1]["folder"] == "deleted"
    assert [row["media_id"] for row in messages["rest"]] == [whole]
    assert messages["gone"] == [False, "bad_identifier"]
    assert result["end"]["renewed"] is True
    assert result["end"]["deleted"]["_read_only"] == {"deleted": True}


@pytest.mark.long
async def test_pykazoo_signs_in_and_works_with_boxes_and_messages(
    pythons: Pythons, account: AccountClient
) -> None:
    result = await driven("pykazoo", pythons, account)
    assert result["sign_in"]["account_id"] == account.account_id
    assert result["sign_in"]["user"]["account_id"] == account.account_id
    assert result["sign_in"]["wrong"] == ["PermissionError", "401"]
    assert result["sign_in"]["unknown"] == ["PermissionError", "401"]

    boxes = result["boxes"]
    _assert_boxes(boxes, account)
    assert (boxes["page"]["page_size"], len(boxes["page"]["data"])) == (1, 1)
    assert boxes["page"]["next_start_key"]
    assert boxes["bad"] == ["ValueError", "400"]
    assert boxes["unknown"] == ["ValueError", "404"]

    messages = result["messages"]
    made = messages["made"]
    assert messages["raw"]["media_id"] == made["media_id"] == made["id"]
    assert messages["changed"] == {"succeeded": [made["media_id"]], "failed": []}
    (row,) = messages["listed"]["data"]
    assert (row["folder"], row["timestamp"]) == ("saved", made["timestamp"])
    assert messages["one"]["caller_id_number"] == "6001"
    assert messages["removed"]["succeeded"] == [made["media_id"]]
    assert messages["none"] == messages["rest"] == []
    assert result["greeting"]["sent"]["content_type"] == "audio/mp3"
    assert result["greeting"]["sent"]["content_length"] == len("ID3 closed")
    assert result["end"]["_read_only"] == {"deleted": True}
