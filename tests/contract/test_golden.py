"""Every example of the KAZOO docs (4.x, 5.x: "Voicemail") and of Audian's page, run as printed.

The service keeps messages long enough here for those of 2016, which the documents show.
"""

import io
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import msgspec
import pytest
import pytest_asyncio

from tests.contract.examples import ALWAYS, EXAMPLES, SEEDS, ExampleVmbox, example, expected
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

_README = Path(__file__).parents[2] / "service" / "api" / "kazoo" / "README.md"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient(service: RunningService) -> AsyncIterator[RunningService]:
    """An API that keeps messages for 20 years."""
    other = await service.another_api(AFTERTONE_RETENTION_DAYS="7300")
    yield other
    await other.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def accounts(patient: RunningService) -> AsyncIterator[dict[str, AccountClient]]:
    """An account of each document, in its profile."""
    result = {document: await patient.an_account() for document in ("kazoo_4", "kazoo_5", "audian")}
    audian = result["audian"]
    change = {"data": {"wire_profile": "audian"}}
    data_of(await audian.http.patch(audian.path(), json=change))
    yield result
    for account in result.values():
        await account.http.aclose()


@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_example_is_answered_as_documented(
    name: str, accounts: dict[str, AccountClient], tmp_path: Path
) -> None:
    case = example(name)
    example_vmbox = ExampleVmbox(accounts[name.partition("/")[0]], tmp_path)
    try:
        await example_vmbox.set(case)
        answer = await example_vmbox.curl(case["command"])
        assert answer.status_code == case["status"], answer.text
        _assert_as_expected(case, example_vmbox, answer)
    finally:
        await example_vmbox.clear()


def _assert_as_expected(
    case: dict[str, Any], example_vmbox: ExampleVmbox, answer: httpx.Response
) -> None:
    for header, value in case.get("headers", {}).items():
        assert answer.headers[header] == value
    if "body" in case:
        assert answer.content == an_mp3()
    elif "zip" in case:
        with ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist() == case["zip"]
            assert all(archive.read(entry) == an_mp3() for entry in case["zip"])
    else:
        record, required = example_vmbox.labelled(answer), expected(case)
        assert record == required
        # True and 1 are equal in Python, not in JSON.
        assert _canonical(record) == _canonical(required)
    if answer.status_code == 201:
        data = answer.json()["data"]
        made = data.get("media_id", data.get("id"))
        assert re.search(rf"/{made}(/raw)?\Z", answer.headers["location"])


def _canonical(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


async def test_old_messages_are_listed_as_expired_under_a_shorter_retention(
    account: AccountClient, tmp_path: Path
) -> None:
    case = example("kazoo_5/08_list_messages")
    example_vmbox = ExampleVmbox(account, tmp_path)
    await example_vmbox.set(case)
    assert data_of(await example_vmbox.curl(case["command"])) == []
    window = "?created_from=63630058000&created_to=63630059000"
    *flags, url = case["command"]
    record = example_vmbox.labelled(await example_vmbox.curl([*flags, f"'{url}{window}'"]))
    kept = {
        "folder": "deleted",
        "retention": "enforced",
        "retention_message": "this message is prior to retention policy, "
        "no update operation is permitted",
    }
    assert record["data"] == [{**row, **kept} for row in expected(case)["data"]]
    for folder, output in (("deleted", 2), ("new", 0)):
        for name in ("folder", "filter_folder"):
            result = await example_vmbox.curl([*flags, f"'{url}{window}&{name}={folder}'"])
            assert len(data_of(result)) == output, (name, folder)
    assert await account.counts(example_vmbox.vmbox_id) == {"new": 0, "saved": 0}


def test_every_difference_has_its_row_in_the_reference() -> None:
    text = _README.read_text().partition("\n## Differences from printed responses")[2]
    rows = {line.split(" | ")[0].removeprefix("| ") for line in text.splitlines()}
    named = {
        difference["row"]
        for name in EXAMPLES
        for difference in example(name).get("differences", ())
    }
    assert named <= rows
    assert "envelopes without " + ", ".join(f"`{name}`" for name in ALWAYS) in rows


def test_every_example_states_its_expected_answer() -> None:
    assert len(EXAMPLES) == len(list(SEEDS.rglob("*.json"))) > 60
    for name in EXAMPLES:
        assert {"documented", "expected", "body", "zip"} & example(name).keys(), name
