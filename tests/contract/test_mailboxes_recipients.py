"""Recipients of mailboxes: their ids and dates are stable in both dialects."""

import asyncio

import httpx
import pytest

from tests.contract.mailboxes import a_mailbox, bare, errors, refused, result
from tests.contract.wire import NO_ID, golden
from tests.support.running import AccountClient, data_of


async def test_a_recipient_is_added_listed_and_removed(voip: httpx.AsyncClient) -> None:
    path = f"/voip/mailbox/{await a_mailbox(voip)}/recipients"
    assert result(await voip.get(path)) == []
    added = await voip.post(path, json={"email": "Pete@Example.com", "name": "ignored"})
    recipient = result(added, 201)
    names = {recipient["uuid"]: "RECIPIENT", recipient["created_on"]: "DAY"}
    golden("mailboxes/recipient_added", added, names)
    assert added.headers["location"] == f"{path}/{recipient['uuid']}"
    golden("mailboxes/recipients_listed", await voip.get(path), names)

    again = await voip.post(path, json={"email": "pete@example.COM"})
    assert result(again, 200) == recipient
    assert "location" not in again.headers
    assert result(await voip.get(path)) == [recipient]

    for item in (recipient["uuid"], bare(recipient["uuid"])):
        removed = await voip.delete(f"{path}/{item}")
        assert (removed.status_code, removed.content) == (204, b"")
        assert result(await voip.get(path)) == []
        refused(await voip.delete(f"{path}/{item}"), 404, "Not Found")
        back = result(await voip.post(path, json={"email": "pete@example.com"}), 201)
        assert back["uuid"] == recipient["uuid"]


async def test_addresses_from_the_kazoo_dialect_are_recipients(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    addresses = ["b@example.com", "a@example.com", "B@example.com"]
    vmbox_id = await account.a_vmbox(notify_email_addresses=addresses)
    path = f"/voip/mailbox/{vmbox_id}"
    before = result(await voip.get(f"{path}/recipients"))
    assert [recipient["email"] for recipient in before] == addresses[:2]
    document = result(await voip.get(path))["email_recipients"]
    assert document == [{key: entry[key] for key in entry if key != "email"} for entry in before]

    box = account.path("vmboxes", vmbox_id)
    changes = {"notify_email_addresses": ["c@example.com", "A@example.com", "b@example.com"]}
    data_of(await account.http.patch(box, json={"data": changes}))
    after = {item["email"]: item for item in result(await voip.get(f"{path}/recipients"))}
    assert list(after) == changes["notify_email_addresses"]
    assert after["b@example.com"] == before[0]
    assert after["A@example.com"]["uuid"] == before[1]["uuid"]
    assert after["c@example.com"]["uuid"] not in {entry["uuid"] for entry in before}

    assert (await voip.delete(f"{path}/recipients/{before[0]['uuid']}")).status_code == 204
    left = data_of(await account.http.get(box))["notify_email_addresses"]
    assert left == ["c@example.com", "A@example.com"]


async def test_an_address_in_two_mailboxes_is_two_recipients(voip: httpx.AsyncClient) -> None:
    ids = set()
    for _ in range(2):
        path = f"/voip/mailbox/{await a_mailbox(voip)}/recipients"
        ids.add(result(await voip.post(path, json={"email": "a@example.com"}), 201)["uuid"])
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({}, "required"),
        ({"email": None}, "type"),
        ({"email": 5}, "type"),
        ({"email": ""}, "format"),
        ({"email": "nobody"}, "format"),
        ({"email": "a b@example.com"}, "format"),
        ({"email": "a@example.com\nBcc: b@example.com"}, "format"),
        ({"email": f"{'x' * 250}@example.com"}, "format"),
        ({"email": "a@example.com,b@example.com"}, "format"),
    ],
)
async def test_an_invalid_address_is_refused(
    voip: httpx.AsyncClient, body: dict[str, object], rule: str
) -> None:
    path = f"/voip/mailbox/{await a_mailbox(voip)}/recipients"
    assert errors(await voip.post(path, json=body)) == {"email": rule}
    assert result(await voip.get(path)) == []


async def test_recipients_of_an_unknown_mailbox_are_a_404(voip: httpx.AsyncClient) -> None:
    for mailbox_id in (NO_ID, "x"):
        path = f"/voip/mailbox/{mailbox_id}/recipients"
        refused(await voip.get(path), 404, "Not Found")
        refused(await voip.post(path, json={"email": "a@example.com"}), 404, "Not Found")
        refused(await voip.delete(f"{path}/{NO_ID}"), 404, "Not Found")
    path = f"/voip/mailbox/{await a_mailbox(voip)}/recipients"
    for recipient in (NO_ID, "x"):
        refused(await voip.delete(f"{path}/{recipient}"), 404, "Not Found")


async def test_concurrent_requests_add_each_address_once(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    mailbox_id = await a_mailbox(voip)
    path = f"/voip/mailbox/{mailbox_id}/recipients"
    addresses = [f"{n % 3}@example.com" for n in range(6)]
    answers = await asyncio.gather(
        *(voip.post(path, json={"email": address}) for address in addresses)
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert sorted(answer.status_code for answer in answers).count(201) == 3
    document = data_of(await account.http.get(account.path("vmboxes", bare(mailbox_id))))
    assert sorted(document["notify_email_addresses"]) == sorted(set(addresses))


async def test_a_mailbox_has_at_most_20_recipients(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    mailbox_id = await a_mailbox(voip)
    addresses = [f"{number}@example.com" for number in range(20)]
    path = account.path("vmboxes", bare(mailbox_id))
    data = {"notify_email_addresses": addresses}
    assert (await account.http.patch(path, json={"data": data})).status_code == 200
    more = {"email": "more@example.com"}
    refused = await voip.post(f"/voip/mailbox/{mailbox_id}/recipients", json=more)
    assert refused.status_code == 400
    assert refused.json()["result"]["errors"] == {"notify_email_addresses": "format"}
    data = {"notify_email_addresses": [*addresses, "more@example.com"]}
    assert (await account.http.patch(path, json={"data": data})).status_code == 400
