"""Retention by rule: the nearest of box, account and deployment, at most the maximum."""

from typing import Any

import pytest

from tests.contract.test_quotas import limit_account
from tests.contract.wire import ago, problems
from tests.support.running import AccountClient, data_of

EXPIRED = "prior_to_retention_duration"


async def change_account(account: AccountClient, **fields: Any) -> None:
    data_of(await account.http.patch(account.path(), json={"data": fields}))


async def change_vmbox(account: AccountClient, vmbox_id: str, **fields: Any) -> None:
    path = account.path("vmboxes", vmbox_id)
    data_of(await account.http.patch(path, json={"data": fields}))


@pytest.mark.parametrize(
    ("limit", "of_account", "of_vmbox", "days"),
    [
        (None, None, 40, 40),
        (None, 50, None, 50),
        (None, 50, 100, 100),
        (60, None, None, 60),
        (60, 50, 100, 60),
        (60, 100, 20, 20),
    ],
)
async def test_the_nearest_rule_applies_up_to_the_maximum(
    account: AccountClient,
    limit: int | None,
    of_account: int | None,
    of_vmbox: int | None,
    days: int,
) -> None:
    vmbox_id, other = await account.a_vmbox(), await account.a_vmbox()
    if limit is not None:
        await limit_account(account, message_retention_days=limit)
    await change_account(account, message_retention_days=of_account)
    await change_vmbox(account, vmbox_id, message_retention_days=of_vmbox)
    kept = await account.leave(vmbox_id, timestamp=ago(days=days))
    expired = await account.leave(vmbox_id, timestamp=ago(days=days, hours=2))
    of_other = await account.leave(other)
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [kept]
    everywhere = data_of(await account.http.get(account.path("vmboxes/messages")))
    listed = {row["media_id"]: row for rows in everywhere for row in rows.values()}
    assert {kept, of_other} <= set(listed)
    assert "retention" not in listed[kept]
    assert expired not in listed or listed[expired]["retention"] == "enforced"
    window = {"created_from": ago(days=days + 1), "created_to": ago(days=days, hours=1.5)}
    assert [row["retention"] for row in await account.listed(vmbox_id, **window)] == ["enforced"]
    path = account.path("vmboxes", vmbox_id, "messages")
    change = {"data": {"messages": [expired, kept], "folder": "saved"}}
    result = data_of(await account.http.post(path, json=change))
    assert result == {"succeeded": [kept], "failed": [{expired: EXPIRED}]}


async def test_an_account_cannot_change_its_maximum_nor_send_days_out_of_range(
    account: AccountClient,
) -> None:
    await limit_account(account, message_retention_days=60)
    limits = {"data": {"limits": {"message_retention_days": 90}}}
    refused = await account.http.patch(account.path(), json=limits)
    assert refused.status_code == 403
    vmbox_id = await account.a_vmbox()
    for path in (account.path(), account.path("vmboxes", vmbox_id)):
        for key in ("message_retention_days", "deleted_retention_days"):
            for days, rule in ((0, "minimum"), (36_501, "maximum"), ("x", "type")):
                answer = await account.http.patch(path, json={"data": {key: days}})
                assert list(problems(answer)[key]) == [rule]
