"""The audit over HTTP and on the command line: who did what, filters, pages, other tenants."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from service.domain.user import CredentialMethod, digests_of
from tests.contract.mailboxes import mailbox_client
from tests.contract.test_accounts_cli import aftertone
from tests.contract.wire import FORBIDDEN, NO_ID, ago, no_fault_logged, problems, refusal
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

Row = dict[str, Any]


async def audit_of(account: AccountClient, **query: Any) -> list[Row]:
    answer = await account.http.get(account.path("audit"), params={"page_size": 1000, **query})
    rows: list[Row] = data_of(answer)
    return rows


async def recorded(account: AccountClient, count: int = 1, **query: Any) -> list[Row]:
    """Waits for records that are written in batches."""
    rows: list[Row] = []

    async def are_written() -> bool:
        nonlocal rows
        rows = await audit_of(account, **query)
        return len(rows) >= count

    await wait_until(are_written)
    return rows


async def test_a_change_is_recorded_with_its_caller_when_it_is_answered(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, caller_id_number="4155550123", caller_id_name="Eve")
    path = account.path("vmboxes", vmbox_id, "messages", media_id)
    changed = await account.http.post(path, json={"data": {"folder": "saved"}})
    data_of(changed)
    data_of(await account.http.delete(path))
    rows = await audit_of(account, vmbox=vmbox_id)
    assert [row["action"] for row in rows] == [
        "message.removed",
        "message.folder_changed",
        "message.new",
        "vmbox.created",
    ]
    folder_change = rows[1]
    for generated in ("id", "time", "credential_id"):
        assert folder_change.pop(generated)
    assert folder_change == {
        "action": "message.folder_changed",
        "result": "success",
        "principal": "api_key",
        "principal_id": account.account_id,
        "peer": "127.0.0.1",
        "request_id": changed.headers["x-request-id"],
        "vmbox_id": vmbox_id,
        "media_id": media_id,
    }
    assert "4155550123" not in str(rows)
    assert "Eve" not in str(rows)


async def test_a_message_without_audio_is_recorded_though_it_causes_no_event(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    media_ids = [
        data_of(await account.http.put(messages, json={"data": {}}), 201)["media_id"]
        for _ in range(2)
    ]
    change = {"data": {"folder": "saved", "messages": media_ids}}
    data_of(await account.http.post(messages, json=change))
    data_of(await account.http.delete(f"{messages}/{media_ids[0]}"))
    data_of(
        await account.http.request("DELETE", messages, json={"data": {"messages": media_ids[1:]}})
    )
    for media_id in media_ids:
        rows = await audit_of(account, message=media_id)
        assert [row["action"] for row in rows] == [
            "message.removed",
            "message.folder_changed",
            "message.new",
        ]


async def test_changes_of_users_webhooks_greetings_and_keys_name_their_target(
    account: AccountClient,
) -> None:
    user = {"username": "ann", "password": "correct horse battery", "priv_level": "admin"}
    webhook = {"name": "All", "uri": "https://93.184.215.14/", "hook": "all"}
    greeting = {"name": "Closed"}
    targets = {}
    for kind, name, document in (
        ("users", "user", user),
        ("webhooks", "webhook", webhook),
        ("media", "greeting", greeting),
    ):
        made = await account.http.put(account.path(kind), json={"data": document})
        targets[name] = data_of(made, 201)["id"]
        path = account.path(kind, targets[name])
        data_of(await account.http.patch(path, json={"data": {"note": "x"}}))
        data_of(await account.http.delete(path))
    data_of(await account.http.patch(account.path(), json={"data": {"note": "x"}}))
    rows = [(row["action"], row.get("target")) for row in await audit_of(account)]
    for name, target in targets.items():
        for verb in ("created", "updated", "deleted"):
            assert (f"{name}.{verb}", target) in rows
    assert ("account.updated", None) in rows
    assert "correct horse battery" not in str(rows)


async def test_sign_ins_are_recorded_with_the_user_and_failures_without(
    account: AccountClient,
) -> None:
    password = "correct horse battery"
    document = {"username": "ann", "password": password, "priv_level": "admin"}
    made = await account.http.put(account.path("users"), json={"data": document})
    user_id = data_of(made, 201)["id"]
    digest = digests_of("ann", password)[CredentialMethod.MD5]
    async with account.service.client("") as nobody:
        for credentials in (digest, "0badc0de" * 4):
            await nobody.put(
                "user_auth", json={"data": {"credentials": credentials, "realm": account.realm}}
            )
    rows = await recorded(account, 3, action="sign_in")
    found = {(row["principal"], row["result"]): row for row in rows}
    assert found["user", "success"]["principal_id"] == user_id
    assert found["user", "success"]["credential_id"]
    assert "principal_id" not in found["anonymous", "unauthorized"]
    # The fixture has signed in with the API key.
    assert found["api_key", "success"]["principal_id"] == account.account_id
    assert digest not in str(rows)
    assert len(await audit_of(account, user=user_id)) == 1


async def test_a_refused_request_is_recorded_for_the_account_of_the_caller(
    account: AccountClient, service: RunningService
) -> None:
    other = await service.an_account()
    vmbox_id = await other.a_vmbox()
    path = other.path("vmboxes", vmbox_id)
    refusal(await account.http.get(path), 403, FORBIDDEN)
    (row,) = await recorded(account, action="request")
    assert (row["result"], row["principal_id"]) == ("forbidden", account.account_id)
    assert row["vmbox_id"] == vmbox_id
    assert row["target"] == f"GET /v2/accounts/{other.account_id}/vmboxes/{{vmbox_id}}"
    assert await audit_of(other, action="request") == []
    await other.http.aclose()


async def test_a_request_without_a_valid_token_is_recorded_for_the_root_account(
    service: RunningService,
) -> None:
    async with service.client("no token") as nobody:
        refused = await nobody.get(f"accounts/{service.root_id}/vmboxes")
    assert refused.status_code == 401
    root = AccountClient(service, service.root_id, "", service.root_token)
    request_id = refused.headers["x-request-id"]
    rows: list[Row] = []

    async def is_written() -> bool:
        rows[:] = await audit_of(root, action="request")
        return request_id in [row["request_id"] for row in rows]

    await wait_until(is_written)
    (row,) = [row for row in rows if row["request_id"] == request_id]
    assert (row["principal"], row["result"]) == ("anonymous", "unauthorized")
    await root.http.aclose()


async def test_readings_of_audio_pins_and_api_keys_are_recorded(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(pin="1234", require_pin=True)
    media_id = await account.leave(vmbox_id)
    raw = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
    assert (await account.http.get(raw)).status_code == 200
    assert (await account.http.head(raw)).status_code == 200
    zipped = await account.http.post(
        account.path("vmboxes", vmbox_id, "messages", "raw"),
        json={"data": {"messages": [media_id]}},
    )
    assert zipped.status_code == 200
    key = data_of(await account.http.get(account.path("api_key")))["api_key"]
    data_of(await account.http.get(account.path("vmboxes", vmbox_id)))
    async with mailbox_client(account.service, x_auth_token=account.token) as voip:
        assert (await voip.get(f"/voip/mailbox/{UUID(vmbox_id)}")).status_code == 200
    read = await recorded(account, 2, action="message.audio_read")
    assert [row["media_id"] for row in read] == [media_id] * 2
    pins = await recorded(account, 2, action="vmbox.pin_read")
    assert [row["vmbox_id"] for row in pins] == [vmbox_id] * 2
    # The fixture has read it, too, with the token of the root account.
    keys = await recorded(account, 2, action="api_key.read")
    assert account.account_id in [row["principal_id"] for row in keys]
    rows = await audit_of(account)
    assert "1234" not in [value for row in rows for value in row.values()]
    assert key not in str(rows)


async def test_playback_of_a_link_is_recorded_for_the_link_and_its_signer(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    path = account.path("vmboxes", vmbox_id, "messages", media_id)
    url = data_of(await account.http.post(f"{path}/link"))["url"]
    async with account.service.client("") as nobody:
        assert (await nobody.get(url)).status_code == 200
    (read,) = await recorded(account, action="message.audio_read")
    (created,) = await recorded(account, action="message.link_created")
    assert (read["principal"], read["principal_id"]) == ("link", account.account_id)
    assert (read["vmbox_id"], read["media_id"]) == (vmbox_id, media_id)
    assert read["credential_id"] == created["target"]


async def test_checks_of_a_pin_are_recorded_with_their_result(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(pin="1234")
    path = account.path("vmboxes", vmbox_id, "pin")
    for pin in ("1234", "0000"):
        data_of(await account.http.post(path, json={"data": {"pin": pin}}))
    rows = await recorded(account, 2, action="vmbox.pin_read")
    assert [row["result"] for row in rows] == ["unauthorized", "success"]
    assert [row["vmbox_id"] for row in rows] == [vmbox_id] * 2
    assert not {"1234", "0000"} & {value for row in rows for value in row.values()}


async def test_pages_continue_at_their_cursor_in_both_orders(account: AccountClient) -> None:
    for _ in range(5):
        await account.a_vmbox()
    created = [row["id"] for row in await audit_of(account, action="vmbox.created")]
    assert len(created) == 5
    for order, expected in (("false", created), ("true", created[::-1])):
        query: dict[str, Any] = {"action": "vmbox.created", "page_size": 2, "ascending": order}
        seen: list[str] = []
        start_key = ""
        while True:
            answer = await account.http.get(
                account.path("audit"), params={**query, "start_key": start_key}
            )
            seen += [row["id"] for row in data_of(answer)]
            start_key = answer.json().get("next_start_key", "")
            if not start_key:
                break
        assert seen == expected


async def test_filters_select_a_window_and_malformed_ids_are_refused(
    account: AccountClient,
) -> None:
    await account.a_vmbox()
    path = account.path("audit")
    assert await audit_of(account, created_from=ago(minutes=10), action="vmbox.created")
    assert await audit_of(account, created_to=ago(minutes=10)) == []
    assert await audit_of(account, vmbox=NO_ID) == []
    for name in ("user", "vmbox", "message"):
        wrong = problems(await account.http.get(path, params={name: "x"}))
        assert list(wrong[name]) == ["wrong_format"]
    async with no_fault_logged(account.service):
        assert await audit_of(account, action="\0\ud7ff" * 500) == []


async def test_another_tenant_cannot_read_it(
    account: AccountClient, service: RunningService
) -> None:
    other = await service.an_account()
    refusal(await other.http.get(account.path("audit")), 403, FORBIDDEN)
    await other.http.aclose()


async def test_the_operator_exports_it_as_lines_of_json(account: AccountClient) -> None:
    for _ in range(3):
        await account.a_vmbox()
    rows = (await audit_of(account, action="vmbox.created"))[::-1]
    since = datetime.now(UTC) - timedelta(hours=1)
    exported = await aftertone(
        account.service,
        *("audit", "export", account.account_id, "--since", f"{since:%Y-%m-%dT%H:%M:%S}"),
    )
    lines = [msgspec.json.decode(line) for line in exported.splitlines()]
    assert [line for line in lines if line["action"] == "vmbox.created"] == rows
    later = since + timedelta(hours=2)
    until = f"{later:%Y-%m-%d %H:%M:%S}"
    nothing = await aftertone(
        account.service, "audit", "export", account.account_id, "--since", until
    )
    assert nothing == ""
