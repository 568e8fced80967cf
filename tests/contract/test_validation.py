"""Validation errors: dotted field -> rule -> message, target, cause, value."""

from typing import Any

import pytest

from tests.contract.wire import problems
from tests.support.running import AccountClient, data_of

NUMBER_TAKEN = "Invalid mailbox number or already exists"


async def refused(account: AccountClient, **settings: Any) -> dict[str, Any]:
    """The problems of a box with these settings beside a good name and number; it is not made."""
    document = {"name": "n", "mailbox": "3000", **settings}
    answer = await account.http.put(account.path("vmboxes"), json={"data": document})
    details = problems(answer)
    assert data_of(await account.http.get(account.path("vmboxes"))) == []
    return details


@pytest.mark.parametrize(
    ("settings", "field", "problem"),
    [
        (
            {"name": ""},
            "name",
            {
                "minLength": {
                    "message": "String must be at least 1 characters",
                    "target": 1,
                    "cause": "",
                    "value": "",
                }
            },
        ),
        (
            {"mailbox": "1" * 31},
            "mailbox",
            {
                "maxLength": {
                    "message": "String must not be more than 30 characters",
                    "target": 30,
                    "cause": "1" * 31,
                    "value": "1" * 31,
                }
            },
        ),
        (
            {"seek_duration_ms": -1},
            "seek_duration_ms",
            {"minimum": {"message": "Value must be at least 0", "target": 0, "value": -1}},
        ),
        (
            {"max_message_count": 1_000_001},
            "max_message_count",
            {
                "maximum": {
                    "message": "Value must be at most 1000000",
                    "target": 1_000_000,
                    "value": 1_000_001,
                }
            },
        ),
        (
            {"media_extension": "flac"},
            "media_extension",
            {
                "enum": {
                    "message": "Value not found in enumerated list of values",
                    "target": ["mp3", "mp4", "wav"],
                    "value": "flac",
                }
            },
        ),
        (
            {"mailbox": 3000},
            "mailbox",
            {
                "type": {
                    "message": "Value did not match type(s): string",
                    "target": "string",
                    "value": 3000,
                }
            },
        ),
        (
            {"media": {"unavailable": "short"}},
            "media.unavailable",
            {
                "minLength": {
                    "message": "String must be at least 32 characters",
                    "target": 32,
                    "cause": "short",
                    "value": "short",
                }
            },
        ),
        (
            {"notify_email_addresses": ["ann@example.com", "nobody"]},
            "notify_email_addresses.1",
            {
                "wrong_format": {
                    "message": "Field is not in the correct format",
                    "format": "email",
                    "value": "nobody",
                }
            },
        ),
        (
            {"notify": {"callback": {"schedule": [10, 20, "soon"]}}},
            "notify.callback.schedule.2",
            {
                "type": {
                    "message": "Value did not match type(s): integer",
                    "target": "integer",
                    "value": "soon",
                }
            },
        ),
        (
            {"timezone": "Nowhere/Else"},
            "timezone",
            {
                "wrong_format": {
                    "message": "Field is not in the correct format",
                    "format": "iana-time-zone",
                    "value": "Nowhere/Else",
                }
            },
        ),
    ],
)
async def test_a_broken_rule_is_reported_with_its_details(
    account: AccountClient, settings: dict[str, Any], field: str, problem: dict[str, Any]
) -> None:
    assert await refused(account, **settings) == {field: problem}


async def test_missing_required_fields_are_reported(account: AccountClient) -> None:
    bodies: list[dict[str, Any]] = [{"data": {}}, {}, {"data": None}]
    for body in bodies:
        details = problems(await account.http.put(account.path("vmboxes"), json=body))
        assert details.keys() == {"name", "mailbox"}
        for rules in details.values():
            assert rules["required"]["message"] == "Field is required but missing"
            assert "value" in rules["required"]


async def test_all_problems_of_a_document_come_at_once(account: AccountClient) -> None:
    result = await refused(
        account,
        name=None,
        pin="12",
        owner_id="x",
        aliases=["1", "", 7],
        media=[],
        notify={"callback": {"attempts": "many", "disabled": "yes"}},
    )
    assert {field: list(rules) for field, rules in result.items()} == {
        "name": ["required"],
        "pin": ["minLength"],
        "owner_id": ["minLength"],
        "aliases.1": ["minLength"],
        "aliases.2": ["type"],
        "media": ["type"],
        "notify.callback.attempts": ["type"],
        "notify.callback.disabled": ["type"],
    }


async def test_strings_become_integers_and_booleans_but_numbers_never_strings(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox(
        skip_greeting="true",
        transcribe="false",
        seek_duration_ms="250",
        notify={"callback": {"attempts": "3", "schedule": ["1", 2.0]}},
        operator_number="0100",
    )
    document = data_of(await account.http.get(account.path("vmboxes", vmbox_id)))
    assert document["skip_greeting"] is True
    assert document["transcribe"] is False
    assert document["seek_duration_ms"] == 250
    assert document["notify"] == {"callback": {"attempts": 3, "schedule": [1, 2]}}
    assert document["operator_number"] == "0100"
    for field, value in (
        ("name", 5),
        ("pin", 1234),
        ("timezone", True),
        ("skip_greeting", "True"),
        ("skip_greeting", 1),
        ("seek_duration_ms", "1.5"),
        ("seek_duration_ms", 1.5),
    ):
        answer = await account.http.patch(
            account.path("vmboxes", vmbox_id), json={"data": {field: value}}
        )
        assert problems(answer)[field]["type"]["value"] == value
    assert data_of(await account.http.get(account.path("vmboxes", vmbox_id))) == document


async def test_numbers_that_differ_in_leading_zeros_are_equal(account: AccountClient) -> None:
    first = await account.a_vmbox(mailbox="100", aliases=["ann"])
    for settings in ({"mailbox": "0100"}, {"mailbox": "1", "aliases": ["100"]}, {"mailbox": "ann"}):
        answer = await account.http.put(
            account.path("vmboxes"), json={"data": {"name": "n", **settings}}
        )
        assert problems(answer) == {"mailbox": {"unique": {"message": NUMBER_TAKEN}}}
    for spaced in (" 100", "100 ", "ann "):
        answer = await account.http.put(
            account.path("vmboxes"), json={"data": {"name": "n", "mailbox": spaced}}
        )
        assert problems(answer) == {"mailbox": {"unique": {"message": NUMBER_TAKEN}}}
    own = await account.http.patch(
        account.path("vmboxes", first), json={"data": {"mailbox": " 00100 "}}
    )
    assert data_of(own)["mailbox"] == "00100"
    data_of(await account.http.delete(account.path("vmboxes", first)))
    assert await account.a_vmbox(mailbox="100")


async def test_null_means_absent_on_create(account: AccountClient) -> None:
    box = {"name": "n", "mailbox": "7", "pin": None, "media": {"unavailable": None}, "x": None}
    made = await account.http.put(account.path("vmboxes"), json={"data": box})
    document = data_of(made, 201)
    assert not {"pin", "x"} & document.keys()
    assert document["media"] == {}
    user = {"username": "ann", "email": None, "deep": {"x": None}}
    made = await account.http.put(account.path("users"), json={"data": user})
    assert (data_of(made, 201)["deep"], "email" in data_of(made, 201)) == ({}, False)
    media = {"name": "n", "description": None}
    made = await account.http.put(account.path("media"), json={"data": media})
    assert "description" not in data_of(made, 201)
    hook = {"name": "h", "uri": "https://203.0.113.7/", "hook": "all", "custom_data": None}
    made = await account.http.put(account.path("webhooks"), json={"data": hook})
    assert made.status_code in (201, 400)
    assert "custom_data" not in made.json()["data"]
    key = {"name": "k", "scopes": ["messages:read"], "expires": None, "vmbox_ids": None}
    made = await account.http.put(account.path("api_keys"), json={"data": key})
    assert "expires" not in data_of(made, 201)
    child = {"name": f"{account.realm} child", "realm": f"c.{account.realm}", "timezone": None}
    made = await account.http.put(account.path(), json={"data": child})
    assert "timezone" not in data_of(made, 201)


async def test_private_and_computed_keys_are_ignored(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(
        _x=1, pvt_y=2, id="mine", messages=9, folders={}, metadata={}, ui_metadata={"v": 1}
    )
    document = data_of(await account.http.get(account.path("vmboxes", vmbox_id)))
    assert document["id"] == vmbox_id != "mine"
    assert document["ui_metadata"] == {"v": 1}
    assert not {"_x", "pvt_y", "messages", "folders", "metadata"} & document.keys()


async def test_a_callback_number_must_match_the_pattern(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(notify={"callback": {"number": "+4420123456"}})
    path = account.path("vmboxes", vmbox_id)
    for number in ("sip:x@example.com", "+44 20", "1" * 16, "0900;1"):
        changes = {"notify": {"callback": {"number": number}}, "name": ""}
        broken = problems(await account.http.patch(path, json={"data": changes}))
        assert broken.keys() == {"notify.callback.number", "name"}
        assert list(broken["notify.callback.number"]) == ["wrong_format"]
    document = {"name": "New", "mailbox": "877", "notify": {"callback": {"number": "*97"}}}
    refused = await account.http.put(account.path("vmboxes"), json={"data": document})
    assert list(problems(refused)["notify.callback.number"]) == ["wrong_format"]
    for number in ("", "1001"):
        changes = {"notify": {"callback": {"number": number}}}
        assert data_of(await account.http.patch(path, json={"data": changes}))


async def test_a_patch_merges_deeply_and_null_deletes_at_any_depth(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(
        pin="1234", notify={"callback": {"number": "1", "attempts": 2}}, x={"y": {"z": 1, "w": [1]}}
    )
    path = account.path("vmboxes", vmbox_id)
    changes = {
        "pin": None,
        "notify": {"callback": {"attempts": None, "timeout_s": 9}},
        "x": {"y": {"w": [2]}},
    }
    document = data_of(await account.http.patch(path, json={"data": changes}))
    assert "pin" not in document
    assert document["notify"] == {"callback": {"number": "1", "timeout_s": 9}}
    assert document["x"] == {"y": {"z": 1, "w": [2]}}
    required = problems(await account.http.patch(path, json={"data": {"mailbox": None}}))
    assert list(required["mailbox"]) == ["required"]
    assert data_of(await account.http.get(path)) == document


async def test_a_dot_in_a_key_of_an_account_or_box_is_kept(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(**{"a.b": {"c.d": 1}})
    document = data_of(await account.http.get(account.path("vmboxes", vmbox_id)))
    assert document["a.b"] == {"c.d": 1}


async def test_a_number_in_use_is_reported_with_the_other_problems(account: AccountClient) -> None:
    await account.a_vmbox(mailbox="3000")
    refused = await account.http.put(
        account.path("vmboxes"), json={"data": {"mailbox": "03000", "pin": "12"}}
    )
    assert refused.status_code == 400
    problems = refused.json()["data"]
    assert set(problems) == {"mailbox", "name", "pin"}
    assert problems["mailbox"]["unique"] == {"message": NUMBER_TAKEN}


async def test_version_one_is_not_found(account: AccountClient) -> None:
    for path in ("/v1", "/v1/accounts/x/vmboxes"):
        gone = await account.http.get(f"{account.service.url}{path}")
        assert (gone.status_code, gone.json()["message"]) == (410, "gone")


async def test_a_response_has_at_most_100_problems_and_their_number(account: AccountClient) -> None:
    document = {
        "name": "Hook",
        "uri": "https://example.com/",
        "hook": "all",
        "custom_data": dict.fromkeys(map(str, range(3_000)), 0),
    }
    answer = await account.http.put(account.path("webhooks"), json={"data": document})
    details = problems(answer)
    total = details.pop("_problems")["maxItems"]
    assert (len(details), total["target"], total["value"]) == (100, 100, 3_000)
    assert len(answer.content) < 65_536


async def test_a_document_is_refused_for_its_size_before_its_fields(account: AccountClient) -> None:
    document = {"name": "n", "mailbox": "1", "aliases": [0] * 300_000}
    answer = await account.http.put(account.path("vmboxes"), json={"data": document})
    assert problems(answer, 413)["data"]["maxSize"]["target"] == 65_536


async def test_a_document_with_too_many_values_is_refused(account: AccountClient) -> None:
    document = {"name": "n", "mailbox": "1", "unknown": [[] for _ in range(10_000)]}
    answer = await account.http.put(account.path("vmboxes"), json={"data": document})
    assert problems(answer)["data"]["maxItems"]["target"] == 10_000


async def test_more_than_20_filters_are_refused(account: AccountClient) -> None:
    for path in ("vmboxes", "users", "webhooks", "vmboxes/messages"):
        filters: dict[str, Any] = {"filter_not_name": list(range(20))}
        allowed = await account.http.get(account.path(path), params=filters)
        assert allowed.status_code == 200
        filters["has_key"] = "name"
        answer = await account.http.get(account.path(path), params=filters)
        rule = problems(answer)["filter"]["maxItems"]
        assert (rule["target"], rule["value"]) == (20, 21)
