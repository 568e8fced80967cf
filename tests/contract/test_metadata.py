"""Metadata of a message: refused, converted, cleaned or left out, with warnings."""

import pytest

from tests.contract.wire import audio_part, json_part, mixed, problems
from tests.support.running import AccountClient, RunningService, data_of


async def test_a_message_is_refused_with_all_its_problems(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    wrong = {"folder": "inbox", "timestamp": "now"}
    answer = await account.http.put(
        account.path("vmboxes", vmbox_id, "messages"), json={"data": wrong}
    )
    details = problems(answer)
    assert {field: list(rules) for field, rules in details.items()} == {
        "folder": ["enum"],
        "timestamp": ["type"],
    }
    assert details["folder"]["enum"]["target"] == ["deleted", "saved", "new"]
    assert await account.listed(vmbox_id) == []


async def test_long_and_unclean_metadata_is_cut_and_cleaned(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    sent = {
        "caller_id_name": "😀" * 55,
        "caller_id_number": "+1\u0000555\u202e" + "0" * 40,
        "call_id": "c" * 300,
        "from": "f" * 300,
        "to": "4101@example.com\r\n",
        "timestamp": None,
        "folder": None,
        "length": None,
        "media_id": "x",
        "_private": 1,
        "extra\u0000" + "x" * 100: "x" * 100_000,
    }
    path = account.path("vmboxes", vmbox_id, "messages")
    answer = await account.http.put(path, **mixed(audio_part(b"x"), json_part(**sent)))
    kept = {
        "caller_id_name": "😀" * 35,
        "caller_id_number": "+1555" + "0" * 30,
        "call_id": "c" * 255,
        "from": "f" * 255,
        "to": "4101@example.com",
    }
    stored = data_of(answer, 201)
    assert stored["from"] == f"{'f' * 255}@{account.realm}"
    assert stored.items() >= (kept | {"from": stored["from"], "folder": "new"}).items()
    warnings = answer.json()["warnings"]
    assert {warning["field"]: warning.get("kept") for warning in warnings} == kept | {
        "extra" + "x" * 59: None
    }
    rules = [warning["rule"] for warning in warnings]
    assert rules == ["maxLength"] * 4 + ["wrong_format", "unknown"]
    assert all(warning["message"] for warning in warnings)
    read = await account.http.get(f"{path}/{stored['media_id']}")
    assert data_of(read)["caller_id_name"] == kept["caller_id_name"]


async def test_metadata_of_another_type_is_converted_or_left_out(account: AccountClient) -> None:
    sent = {
        "caller_id_number": 7004,
        "caller_id_name": {"first": "Ann"},
        "call_id": 1.5,
        "from": [],
        "to": True,
        "length": -1,
    }
    path = account.path("vmboxes", await account.a_vmbox(), "messages")
    answer = await account.http.put(path, **mixed(audio_part(b"x"), json_part(**sent)))
    stored = data_of(answer, 201)
    assert (stored["caller_id_number"], stored["call_id"]) == ("7004", "1.5")
    assert (stored["caller_id_name"], stored["length"]) == ("anonymous", 1)
    warnings = answer.json()["warnings"]
    assert {warning["field"]: warning.get("kept") for warning in warnings} == {
        **dict.fromkeys(sent),
        "caller_id_number": "7004",
        "call_id": "1.5",
    }
    assert {warning["rule"] for warning in warnings} == {"type"}


async def test_metadata_outside_of_data_is_a_warning(account: AccountClient) -> None:
    path = account.path("vmboxes", await account.a_vmbox(), "messages")
    answer = await account.http.put(path, json={"caller_id_number": "7004"})
    assert data_of(answer, 201)["caller_id_number"] == "anonymous"
    assert [warning["field"] for warning in answer.json()["warnings"]] == ["data"]


@pytest.mark.long
async def test_a_setting_refuses_metadata_that_is_too_long(
    service: RunningService, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    api = await service.another_api(AFTERTONE_STRICT_METADATA="true")
    long = {"caller_id_name": "x" * 36, "call_id": "x" * 256, "from": "x" * 256}
    try:
        async with api.client(account.token) as http:
            path = account.path("vmboxes", vmbox_id, "messages")
            refusal = await http.put(path, json={"data": long})
            rules = {field: list(rules) for field, rules in problems(refusal).items()}
            assert rules == {field: ["maxLength"] for field in long}
            refusal = await http.put(path, json={"data": {"caller_id_number": 1, "length": -1}})
            rules = {field: list(rules) for field, rules in problems(refusal).items()}
            assert rules == {"caller_id_number": ["type"], "length": ["minimum"]}
            stored = await http.put(path, json={"data": {"caller_id_name": "x" * 35, "extra": 1}})
            assert data_of(stored, 201)["caller_id_name"] == "x" * 35
            assert "warnings" not in stored.json()
    finally:
        await api.stop()


async def test_a_response_has_at_most_20_warnings(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    data = {f"x{number}": 1 for number in range(50)}
    answer = await account.http.put(
        account.path("vmboxes", vmbox_id, "messages"), json={"data": data}
    )
    assert len(answer.json()["warnings"]) == 20


async def test_a_message_takes_numbers_that_are_spelled(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, length="3140", unknown=[1, {"x": None}])
    assert media_id
    (row,) = await account.listed(vmbox_id)
    assert row["length"] == 3140
    assert "unknown" not in row
