"""Lists of messages: windows, order over months, pages, filters, and what retention shows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from service.api.kazoo.times import gregorian
from tests.contract.wire import NOW, ago, audio_part, json_part, mixed, problems, refusal
from tests.support.running import AccountClient, data_of

RETENTION_S = 93 * 86_400 + 3_600
NAMED_S = 31 * 86_400 + 3_600
# Four months at least, in no order, and one moment that is there many times.
AGES_H = (5, 2200, 40, 700, 40, 1500, 40, 40, 1, 2200, 40, 40, 90, 700)


async def filled(account: AccountClient, ages_h: tuple[int, ...] = AGES_H) -> tuple[str, list[str]]:
    """A box and the ids of its messages, in the order of `ages_h`. They wait for their audio."""
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "messages")
    ids = []
    for hours in ages_h:
        made = await account.http.put(path, json={"data": {"timestamp": ago(hours=hours)}})
        ids.append(data_of(made, 201)["media_id"])
    return vmbox_id, ids


async def walked(account: AccountClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """All rows, page by page until there is no next one; no page but the last is short."""
    rows: list[dict[str, Any]] = []
    sizes = []
    while True:
        envelope = (await account.http.get(path, params=query)).json()
        assert envelope["page_size"] == len(envelope["data"])
        rows += envelope["data"]
        sizes.append(envelope["page_size"])
        if "next_start_key" not in envelope:
            assert all(size == query["page_size"] for size in sizes[:-1])
            return rows
        query["start_key"] = envelope["next_start_key"]


async def test_pages_visit_every_message_once_newest_first(account: AccountClient) -> None:
    vmbox_id, ids = await filled(account)
    for size in (1, 2, 3, 5, len(ids) - 1, len(ids), len(ids) + 1):
        box = await walked(account, account.path("vmboxes", vmbox_id, "messages"), page_size=size)
        everywhere = await walked(account, account.path("vmboxes", "messages"), page_size=size)
        assert sorted(row["media_id"] for row in box) == sorted(ids)
        assert [row["timestamp"] for row in box] == sorted(
            (ago(hours=hours) for hours in AGES_H), reverse=True
        )
        assert [each[vmbox_id] for each in everywhere] == box


async def test_a_page_is_filled_after_filtering(account: AccountClient) -> None:
    vmbox_id, ids = await filled(account)
    path = account.path("vmboxes", vmbox_id, "messages")
    expected = ids[1::4]
    for media_id in expected:
        data_of(await account.http.post(f"{path}/{media_id}", json={"data": {}}))
    for query in ({"filter_folder": "saved"}, {"folder": "saved"}):
        rows = await walked(account, path, page_size=2, **query)
        assert sorted(row["media_id"] for row in rows) == sorted(expected)
        everywhere = await walked(account, account.path("vmboxes/messages"), page_size=3, **query)
        assert [each[vmbox_id] for each in everywhere] == rows
    new = await walked(account, path, page_size=3, filter_folder="new")
    assert {row["media_id"] for row in new} == set(ids) - set(expected)
    assert await account.listed(vmbox_id, filter_folder="deleted") == []
    unknown = await account.http.get(path, params={"filter_folder": "inbox"})
    assert problems(unknown)["folder"]["enum"]["target"] == ["deleted", "saved", "new"]


async def test_a_new_message_does_not_shift_the_next_pages(account: AccountClient) -> None:
    vmbox_id, ids = await filled(account, (10, 20, 30, 40))
    path = account.path("vmboxes", vmbox_id, "messages")
    first = (await account.http.get(path, params={"page_size": 2})).json()
    await account.leave(vmbox_id)
    data_of(await account.http.delete(f"{path}/{ids[0]}"))
    rest = await account.listed(vmbox_id, page_size=2, start_key=first["next_start_key"])
    assert [row["media_id"] for row in [*first["data"], *rest]] == ids


async def test_paginate_false_gives_everything_without_paging_keys(account: AccountClient) -> None:
    vmbox_id, ids = await filled(account, (1,) * 60)
    path = account.path("vmboxes", vmbox_id, "messages")
    assert len(await account.listed(vmbox_id)) == 50
    envelope = (await account.http.get(path, params={"paginate": "false"})).json()
    assert {row["media_id"] for row in envelope["data"]} == set(ids)
    assert not {"page_size", "start_key", "next_start_key"} & envelope.keys()


@asynccontextmanager
async def ten_thousand(account: AccountClient, vmbox_id: str) -> AsyncIterator[None]:
    """Inserts ten thousand rows with SQL, and deletes them after the test."""
    owner = account.service.environment["AFTERTONE_OWNER_DATABASE_URL"]
    connection = await asyncpg.connect(owner)
    try:
        await connection.execute(_TEN_THOUSAND, UUID(account.account_id), UUID(vmbox_id))
        yield
        await connection.execute("DELETE FROM messages WHERE vmbox_id = $1", UUID(vmbox_id))
        data_of(await account.http.delete(account.path("vmboxes", vmbox_id)))
    finally:
        await connection.close()


_TEN_THOUSAND = """
INSERT INTO messages (account_id, month, id, vmbox_id, folder, counted, received_at, length_ms,
    caller_id_number, caller_id_name, call_id, from_uri, to_uri)
SELECT $1, to_char(now(), 'YYYYMM')::integer, gen_random_uuid(), $2, 'new', false,
    date_trunc('month', now()), 1, '1', '1', '1', '1', '1'
FROM generate_series(1, 10000)
"""


async def test_paginate_false_beyond_ten_thousand_rows_is_a_416(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "messages")
    async with ten_thousand(account, vmbox_id):
        assert len(data_of(await account.http.get(path, params={"paginate": "false"}))) == 10_000
        data_of(await account.http.put(path, json={"data": {}}), 201)
        for route in (path, account.path("vmboxes/messages")):
            too_many = await account.http.get(route, params={"paginate": "false"})
            assert refusal(too_many, 416, "range not satisfiable", account.token) == {}
        assert len(await account.listed(vmbox_id, page_size=1000)) == 1000


async def test_the_window_begins_with_retention(account: AccountClient) -> None:
    vmbox_id, ids = await filled(account, (24 * 93 - 1, 24 * 94))
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [ids[0]]
    back_then = {"created_from": ago(days=95), "created_to": ago(days=93.5)}
    assert [row["media_id"] for row in await account.listed(vmbox_id, **back_then)] == [ids[1]]


async def test_both_ends_of_a_window_belong_to_it(account: AccountClient) -> None:
    vmbox_id, ids = await filled(account, (10, 20, 30))
    ends = {"created_from": ago(hours=30), "created_to": ago(hours=10)}
    assert [row["media_id"] for row in await account.listed(vmbox_id, **ends)] == ids
    inside = {"created_from": ago(hours=30) + 1, "created_to": ago(hours=10) - 1}
    assert [row["media_id"] for row in await account.listed(vmbox_id, **inside)] == [ids[1]]
    for route in (account.path("vmboxes", vmbox_id, "messages"), account.path("vmboxes/messages")):
        rows = data_of(await account.http.get(route, params=inside))
        assert len(rows) == 1


@pytest.mark.parametrize("route", ["vmboxes/{B}/messages", "vmboxes/messages"])
async def test_an_impossible_window_is_refused_with_both_bounds(
    account: AccountClient, route: str
) -> None:
    path = account.path(route.format(B=await account.a_vmbox()))
    now = ago()
    backwards = await account.http.get(path, params={"created_from": now, "created_to": now - 1})
    assert problems(backwards) == {
        "created_from": {
            "date_range": {
                "message": f"created_to {now - 1} is prior to created_from {now}; "
                "send a shorter window that ends after it begins",
                "cause": now,
            }
        }
    }
    start = now - NAMED_S - 1
    too_long = await account.http.get(path, params={"created_from": start, "created_to": now})
    assert problems(too_long) == {
        "created_from": {
            "date_range": {
                "message": f"created_to {now} is more than {NAMED_S} seconds"
                f" from created_from {start}; send a shorter window that ends after it begins",
                "cause": now,
            }
        }
    }
    longest = {"created_from": start + 1, "created_to": now}
    data_of(await account.http.get(path, params=longest))
    old = problems(await account.http.get(path, params={"created_from": now - 40 * 86_400}))
    assert f"more than {NAMED_S} seconds" in old["created_from"]["date_range"]["message"]
    for since, until in ((1, now), (now - 1, 10**12 - 1)):
        beyond = {"created_from": since, "created_to": until}
        details = problems(await account.http.get(path, params=beyond))
        assert f"more than {NAMED_S} seconds" in details["created_from"]["date_range"]["message"]


@pytest.mark.parametrize(
    "route", ["vmboxes/{B}/messages", "vmboxes/messages", "vmboxes", "users", "audit"]
)
async def test_a_bound_that_is_not_a_time_is_refused(account: AccountClient, route: str) -> None:
    path = account.path(route.format(B=await account.a_vmbox()))
    names = ["created_from", "created_to"]
    if route in ("vmboxes", "users"):
        names += ["modified_from", "modified_to"]
    for name in names:
        for odd in (
            "abc",
            "-5",
            "0",
            "1.5",
            "9" * 40,
            "²",
            "1e3",
            "2026-11-21",
            "2026-13-01T00:00",
        ):
            rules = problems(await account.http.get(path, params={name: odd}))[name]
            assert "ISO-8601" in rules["wrong_format"]["message"], odd
        for unix, unit in (("1790000000", "Unix seconds"), ("1790000000123", "Unix milliseconds")):
            rules = problems(await account.http.get(path, params={name: unix}))[name]
            text = f"{name} looks like {unit}; this API takes Gregorian seconds"
            assert rules["date_range"]["message"] == text
        data_of(await account.http.get(path, params={name: ""}))


async def test_a_bound_may_be_an_iso_time_in_either_profile(account: AccountClient) -> None:
    vmbox_id, ids = await filled(account, (10, 20, 30))
    path = account.path("vmboxes", vmbox_id, "messages")
    since, until = NOW - timedelta(hours=25), NOW - timedelta(hours=15)
    zone = timezone(timedelta(hours=1))
    for profile in ("kazoo", "audian"):
        for query in (
            f"created_from={since:%Y-%m-%dT%H:%M:%SZ}&created_to={until:%Y-%m-%dT%H:%M:%SZ}",
            f"created_from={since:%Y-%m-%d %H:%M:%S}&created_to={until:%Y-%m-%dT%H:%M:%S.250}",
            # The plus sign is not encoded, so the server receives a space.
            f"created_from={since.astimezone(zone):%Y-%m-%dT%H:%M:%S}+01:00"
            f"&created_to={ago(hours=15)}",
        ):
            answer = await account.http.get(f"{path}?{query}&profile={profile}")
            assert [row["media_id"] for row in data_of(answer)] == [ids[1]], query


async def test_a_message_of_a_fast_clock_is_counted_and_listed_at_once(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    sent = gregorian(datetime.now(UTC)) + 20
    path = account.path("vmboxes", vmbox_id, "messages")
    form = mixed(json_part(timestamp=sent), audio_part(b"x"))
    headers = form["headers"] | {"Idempotency-Key": "fast"}
    answers = [
        await account.http.put(path, content=form["content"], headers=headers) for _ in range(2)
    ]
    for answer in answers:
        stored = data_of(answer, 201)
        assert stored["timestamp"] <= gregorian(datetime.now(UTC)) < sent
        (warning,) = answer.json()["warnings"]
        assert (warning["field"], warning["rule"]) == ("timestamp", "date_range")
        assert warning["kept"] == stored["timestamp"]
        assert warning["message"].startswith(f"{sent} ")
    counts = await account.counts(vmbox_id)
    assert counts == {"new": 1, "saved": 0}
    since = ago(hours=1)
    for window in ({}, {"created_from": since}, {"filter_folder": "new"}):
        rows = await account.listed(vmbox_id, **window)
        assert [row["media_id"] for row in rows] == [stored["media_id"]]
    assert len(data_of(await account.http.get(account.path("vmboxes/messages")))) == 1


@pytest.mark.parametrize("created_to", [31_622_400, 31_700_000, 62_167_219_200, 315_569_519_999])
async def test_a_window_at_the_ends_of_the_calendar_is_empty(
    account: AccountClient, created_to: int
) -> None:
    vmbox_id, _ = await filled(account, (1,))
    assert await account.listed(vmbox_id, created_to=created_to) == []


async def test_a_message_past_retention_is_listed_as_deleted_and_cannot_change(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, b"old", timestamp=ago(seconds=RETENTION_S + 60))
    path = account.path("vmboxes", vmbox_id, "messages", media_id)
    response = data_of(await account.http.get(path))
    assert (response["folder"], response["retention"]) == ("deleted", "enforced")
    assert response["retention_message"] == (
        "this message is prior to retention policy, no update operation is permitted"
    )
    assert await account.listed(vmbox_id) == []
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 0}
    window = {"created_from": ago(days=110), "created_to": ago(days=90)}
    (row,) = await account.listed(vmbox_id, **window)
    assert row["retention"] == "enforced"

    refused = problems(await account.http.post(path, json={"data": {"folder": "saved"}}))
    rule = refused[media_id]["date_range"]
    assert rule["message"] == "cannot make changes to messages prior to retention duration"
    assert abs(rule["cause"] - ago(seconds=RETENTION_S)) < 3600
    upload: dict[str, Any] = {"content": b"new", "headers": {"Content-Type": "audio/mp3"}}
    assert media_id in problems(await account.http.put(f"{path}/raw", **upload))
    assert (await account.http.get(f"{path}/raw")).content == b"old"
    data_of(await account.http.delete(path))
    assert (await account.http.get(path)).status_code == 404


async def test_a_message_just_inside_retention_is_whole(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, timestamp=ago(seconds=RETENTION_S - 1800))
    path = account.path("vmboxes", vmbox_id, "messages", media_id)
    assert "retention" not in data_of(await account.http.get(path))
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}
    assert data_of(await account.http.post(path))["folder"] == "saved"


async def test_folders_as_documented(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    path = account.path("vmboxes", vmbox_id, "messages", media_id)
    steps: list[tuple[dict[str, Any], str]] = [
        ({"json": {"data": {"folder": "saved"}}}, "saved"),
        ({"params": {"folder": "deleted"}}, "deleted"),
        ({"json": {"data": {"folder": "new"}}, "params": {"folder": "saved"}}, "new"),
        ({}, "saved"),
        ({"json": {"data": {"folder": "deleted"}}}, "deleted"),
        ({"json": {"data": {"folder": "new"}}}, "new"),
    ]
    for request, folder in steps:
        assert data_of(await account.http.post(path, **request))["folder"] == folder
        (row,) = await account.listed(vmbox_id)
        assert row["folder"] == folder
        expected = {"new": 0, "saved": 0} | ({} if folder == "deleted" else {folder: 1})
        assert await account.counts(vmbox_id) == expected
    wrongs: list[Any] = ["inbox", "", 5, ["new"], {}]
    for wrong in wrongs:
        refused = await account.http.post(path, json={"data": {"folder": wrong}})
        assert list(problems(refused)["folder"]) == ["enum"]
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_a_folder_filter_takes_lists_and_negations(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    new, saved = [await account.leave(vmbox_id, folder=folder) for folder in ("new", "saved")]
    cases: list[tuple[dict[str, str], set[str]]] = [
        ({"filter_folder": '["new","saved"]'}, {new, saved}),
        ({"filter_folder": '["saved","deleted"]'}, {saved}),
        ({"filter_not_folder": '["new","deleted"]'}, {saved}),
        ({"filter_not_folder": '["new","saved"]'}, set()),
        ({"filter_folder": ""}, set()),
        ({"folder": '["new"]'}, {new}),
    ]
    for query, expected in cases:
        rows = await account.listed(vmbox_id, **query)
        assert {row["media_id"] for row in rows} == expected, query
    path = account.path("vmboxes", vmbox_id, "messages")
    for wrong in ("x", '["new","x"]', "[5]"):
        refused = await account.http.get(path, params={"filter_folder": wrong})
        assert list(problems(refused)["folder"]) == ["enum"], wrong


async def test_filters_see_the_whole_metadata(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    addresses: list[dict[str, Any]] = [
        {"from": "ann@here.example", "to": "2000@there.example"},
        {"from": "bob@here.example"},
    ]
    ann, _ = [await account.leave(vmbox_id, **value) for value in addresses]
    for query in (
        {"filter_from_user": "ann"},
        {"filter_metadata.from_user": "ann"},
        {"filter_to_realm": "there.example"},
        {"filter_from_realm": "here.example", "filter_not_from_user": "bob"},
    ):
        rows = await account.listed(vmbox_id, **query)
        assert [row["media_id"] for row in rows] == [ann], query
    assert len(await account.listed(vmbox_id, has_key="from_user")) == 2
