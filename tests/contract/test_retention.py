"""Retention: the rule of the box, account or deployment, at most the maximum."""

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
async def test_the_most_specific_rule_applies_up_to_the_maximum(
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


async def test_a_dry_run_counts_what_a_change_would_remove_and_changes_nothing(
    account: AccountClient,
) -> None:
    boxes = [await account.a_vmbox(mailbox=str(600 + n)) for n in range(3)]
    ruled, plain, deleted = boxes
    await change_vmbox(account, ruled, message_retention_days=50)
    for vmbox_id in boxes:
        for days, folder in ((1, "new"), (12, "saved"), (25, "deleted"), (45, "new")):
            await account.leave(vmbox_id, timestamp=ago(days=days), folder=folder)
    data_of(await account.http.delete(account.path("vmboxes", deleted)))
    before = data_of(await account.http.get(account.path()))

    async def dry_run(path: str, change: dict[str, Any], method: str = "PATCH") -> Any:
        answer = await account.http.request(
            method, path, params={"dry_run": "true"}, json={"data": change}
        )
        return data_of(answer)

    vmbox = account.path("vmboxes", ruled)
    result = await dry_run(vmbox, {"message_retention_days": 20, "deleted_retention_days": 5})
    assert result["message_retention_days"] == 20
    assert result["_dry_run"] == {
        "message_retention_days": 20,
        "deleted_retention_days": 5,
        "messages_removed": {"new": 1, "saved": 0, "deleted": 1},
    }
    # Without a rule of its own, the box has that of the deployment.
    replaced = await dry_run(vmbox, {"name": "Box", "mailbox": "600"}, "POST")
    assert replaced["_dry_run"]["message_retention_days"] == 93
    assert not any(replaced["_dry_run"]["messages_removed"].values())
    for days, removed in (
        (10, {"new": 1, "saved": 1, "deleted": 1}),
        (40, {"new": 1, "saved": 0, "deleted": 0}),
        (60, {"new": 0, "saved": 0, "deleted": 0}),
    ):
        result = await dry_run(account.path(), {"message_retention_days": days})
        assert result["_dry_run"]["messages_removed"] == removed, days
    # The maximum applies to boxes with a rule too. Only an account above can change it.
    async with account.service.client(account.service.root_token) as root:
        answer = await root.patch(
            f"accounts/{account.account_id}",
            params={"dry_run": "true"},
            json={"data": {"limits": {"message_retention_days": 10}}},
        )
    counts = data_of(answer)["_dry_run"]["messages_removed"]
    assert counts == {"new": 2, "saved": 2, "deleted": 2}
    assert data_of(await account.http.get(account.path())) == before
    assert data_of(await account.http.get(vmbox))["message_retention_days"] == 50
    assert await account.counts(ruled) == {"new": 2, "saved": 1}
    for path, query, field in (
        (vmbox, "true", "mailbox"),
        (account.path(), "true", "deleted_retention_days"),
        (vmbox, "maybe", "dry_run"),
    ):
        change = {"mailbox": "601", "deleted_retention_days": 0} if query == "true" else {}
        refused = await account.http.patch(path, params={"dry_run": query}, json={"data": change})
        assert field in problems(refused)
    assert len(await account.listed(plain)) == 4
