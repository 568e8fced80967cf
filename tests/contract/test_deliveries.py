"""Dead deliveries of an account: their list, their retry, and who may do it."""

import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from tests.contract.test_audit import recorded
from tests.contract.wire import refusal
from tests.support.running import AccountClient, RunningService, data_of

_INSERT = """
INSERT INTO deliveries (
    account_id, event_id, channel, target, status, attempt, last_error, event, finished_at
)
VALUES ($1, $2, $3, $4, 'dead', 8, $5, $6, now())
"""


async def add_dead(account: AccountClient, channel: str, target: str, vmbox_id: str) -> str:
    """Adds a delivery as the notifier leaves it after all retries; returns the id of its event."""
    event_id = str(uuid4())
    event: dict[str, Any] = {
        "account_id": account.account_id,
        "vmbox_id": vmbox_id,
        "sequence": 1,
        "event_id": event_id,
        "type": "message.new",
        "created_at": "2026-01-01T00:00:00Z",
        "data": {},
    }
    owner = await asyncpg.connect(account.service.servers.postgres.url())
    key = (UUID(account.account_id), UUID(event_id), channel, target)
    await owner.execute(_INSERT, *key, "no route to 10.0.0.7", json.dumps(event))
    await owner.close()
    return event_id


async def _dead(account: AccountClient, **query: Any) -> list[dict[str, Any]]:
    answer = await account.http.get(account.path("deliveries"), params=query)
    rows: list[dict[str, Any]] = data_of(answer)
    return rows


async def test_dead_deliveries_are_listed_page_by_page_and_retried(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    first = await add_dead(account, "email", "ann@example.com", vmbox_id)
    second = await add_dead(account, "mwi", vmbox_id, vmbox_id)
    path = account.path("deliveries")
    page = await account.http.get(path, params={"page_size": 1})
    rest = await _dead(account, start_key=page.json()["next_start_key"])
    (mwi,), (email,) = data_of(page), rest
    assert (mwi["event_id"], mwi["channel"], mwi["attempts"]) == (second, "mwi", 8)
    assert "error" not in mwi
    assert (email["target"], email["type"]) == ("ann@example.com", "message.new")
    assert (email["error"], email["vmbox_id"]) == ("no route to 10.0.0.7", vmbox_id)
    other = {"data": {"event_id": first, "channel": "email", "target": "bob@example.com"}}
    assert data_of(await account.http.post(path, json=other)) == {"retried": 0}
    body = {"data": {key: email[key] for key in ("event_id", "channel", "target")}}
    assert data_of(await account.http.post(path, json=body)) == {"retried": 1}
    assert [row["event_id"] for row in await _dead(account)] == [second]
    assert data_of(await account.http.post(path)) == {"retried": 1}
    assert await _dead(account) == []
    records = await recorded(account, 2, action="deliveries.retried")
    assert [record.get("target") for record in records] == [None, UUID(first).hex]


async def test_another_account_neither_sees_nor_retries_them(
    account: AccountClient, service: RunningService
) -> None:
    await add_dead(account, "email", "ann@example.com", await account.a_vmbox())
    other = await service.an_account()
    assert await _dead(other) == []
    assert data_of(await other.http.post(other.path("deliveries"))) == {"retried": 0}
    assert len(await _dead(account)) == 1
    await other.http.aclose()


async def test_a_malformed_selection_is_refused(account: AccountClient) -> None:
    path = account.path("deliveries")
    for data in ({"event_id": "x"}, {"channel": "a\0"}, {"target": ["x"]}):
        refusal(await account.http.post(path, json={"data": data}), 400, "validation error")
    bad = await account.http.get(path, params={"start_key": "bm8"})
    refusal(bad, 400, "validation error")
