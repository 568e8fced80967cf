"""The `audian` profile: the same API with its vendor's spelling of times, lengths and box rows."""

from typing import Any

from tests.support.running import AccountClient, RunningService, data_of

OWNER = "user_xyz789"


async def _in_profile(account: AccountClient, profile: str) -> None:
    async with account.service.client(account.service.root_token) as root:
        data_of(
            await root.patch(
                f"accounts/{account.account_id}", json={"data": {"wire_profile": profile}}
            )
        )


def _paths(account: AccountClient, vmbox_id: str, media_id: str = "") -> str:
    return account.path("vmboxes", vmbox_id, "messages", media_id).rstrip("/")


async def test_one_request_may_ask_for_the_other_profile(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, timestamp=63962516055, length=45400)
    path = _paths(account, vmbox_id, media_id)
    kazoo = data_of(await account.http.get(path))
    audian = data_of(await account.http.get(path, params={"profile": "audian"}))
    assert (kazoo["timestamp"], kazoo["length"]) == (63962516055, 45400)
    assert (audian["timestamp"], audian["length"]) == ("2026-11-21T21:34:15Z", 45)
    rows: list[Any] = await account.listed(vmbox_id, profile="audian")
    assert [row["timestamp"] for row in rows] == ["2026-11-21T21:34:15Z"]
    refused = await account.http.get(path, params={"profile": "other"})
    assert refused.status_code == 400
    assert refused.json()["data"]["profile"]["enum"]["target"] == ["kazoo", "audian"]


async def test_both_spellings_of_a_time_are_accepted(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    for value in ("2026-11-21T21:34:15Z", "2026-11-21T22:34:15+01:00", "63962516055"):
        media_id = await account.leave(vmbox_id, timestamp=value)
        metadata = data_of(await account.http.get(_paths(account, vmbox_id, media_id)))
        assert metadata["timestamp"] == 63962516055, value


async def test_box_rows_of_the_profile_carry_its_fields_alone(account: AccountClient) -> None:
    full = data_of(
        await account.http.put(
            account.path("vmboxes"),
            params={"profile": "audian"},
            json={
                "data": {
                    "name": "A",
                    "mailbox": "2001",
                    "owner_id": OWNER,
                    "pin": "5678",
                    "require_pin": True,
                    "timezone": "America/New_York",
                }
            },
        ),
        201,
    )
    await account.a_vmbox(name="B", mailbox="2002")
    rows = data_of(await account.http.get(account.path("vmboxes"), params={"profile": "audian"}))
    assert rows[0] == {
        "id": full["id"],
        "name": "A",
        "mailbox": "2001",
        "owner_id": OWNER,
        "timezone": "America/New_York",
        "pin": "5678",
        "require_pin": True,
    }
    assert set(rows[1]) == {"id", "name", "mailbox", "require_pin"}


async def test_a_post_merges_in_the_profile_and_replaces_outside_of_it(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox(mailbox="2001", pin="5678", note="kept")
    path = account.path("vmboxes", vmbox_id)
    change = {"data": {"name": "Updated", "pin": None}}
    merged = data_of(await account.http.post(path, params={"profile": "audian"}, json=change))
    assert (merged["name"], merged["mailbox"], merged["note"]) == ("Updated", "2001", "kept")
    assert "pin" not in merged
    refused = await account.http.post(path, json=change)
    assert refused.status_code == 400
    assert refused.json()["data"]["mailbox"]["required"]
    document = {"data": {"name": "New", "mailbox": "2001"}}
    replaced = data_of(await account.http.post(path, json=document))
    assert "note" not in replaced


async def test_an_account_may_have_the_profile(
    account: AccountClient, service: RunningService
) -> None:
    assert service.root_id
    vmbox_id = await account.a_vmbox()
    await account.leave(vmbox_id, timestamp=63962516055)
    await _in_profile(account, "audian")
    row = (await account.listed(vmbox_id))[0]
    assert row["timestamp"] == "2026-11-21T21:34:15Z"
