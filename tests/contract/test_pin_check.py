"""PIN check over HTTP."""

from typing import Any

import httpx
import pytest

from tests.contract.described import DESCRIBED
from tests.contract.wire import NO_ID, problems, refusal, success
from tests.support.running import AccountClient, data_of
from tests.support.waiting import wait_until

# Long enough not to be part of a random id by chance.
PIN = "918273"


async def checked(account: AccountClient, vmbox_id: str, **data: Any) -> httpx.Response:
    path = account.path("vmboxes", vmbox_id, "pin")
    answer = await account.http.post(path, json={"data": data})
    DESCRIBED.check(answer)
    return answer


async def test_the_answer_is_true_or_false(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(pin="1234")
    for pin, is_valid in (("1234", True), ("4321", False), ("1", False), ("12345678", False)):
        answer = await checked(account, vmbox_id, pin=pin)
        assert success(answer, account.token)["data"] == {"valid": is_valid}


async def test_too_many_wrong_pins_are_a_429_until_the_pin_changes(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(pin="1234")
    for _ in range(5):
        assert data_of(await checked(account, vmbox_id, pin="0000")) == {"valid": False}
    locked = await checked(account, vmbox_id, pin="1234")
    assert refusal(locked, 429, "pin_locked", account.token) == {
        "message": "Too many wrong PINs for this mailbox; retry after the time in Retry-After."
    }
    assert 0 < int(locked.headers["retry-after"]) <= 900

    change = {"data": {"pin": "9876"}}
    data_of(await account.http.patch(account.path("vmboxes", vmbox_id), json=change))
    assert data_of(await checked(account, vmbox_id, pin="9876")) == {"valid": True}


async def test_a_lock_is_an_event(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(pin="1234")
    events = account.path("vmboxes", vmbox_id, "events")
    start = (await account.http.get(events)).json()["next_cursor"]
    for _ in range(5):
        await checked(account, vmbox_id, pin="0000")
    seen: list[dict[str, Any]] = []

    async def is_published() -> bool:
        page = data_of(await account.http.get(events, params={"since": start}))
        seen[:] = [event for event in page if event["type"] == "voicemail.vmbox.pin_locked"]
        return bool(seen)

    await wait_until(is_published)
    [event] = seen
    assert event["data"]["vmbox_id"] == vmbox_id
    assert (event["data"]["wrong_pins"], event["data"]["locked_for_s"]) == (5, 900)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ({}, "required"),
        ({"pin": ""}, "minLength"),
        ({"pin": PIN * 11}, "maxLength"),
        ({"pin": int(PIN)}, "type"),
    ],
)
async def test_a_check_needs_a_pin_and_a_refusal_does_not_repeat_it(
    account: AccountClient, data: dict[str, Any], rule: str
) -> None:
    vmbox_id = await account.a_vmbox(pin=PIN)
    answer = await checked(account, vmbox_id, **data)
    assert problems(answer)["pin"].keys() == {rule}
    assert PIN not in answer.text


async def test_boxes_of_other_tenants_and_unknown_boxes_cannot_be_checked(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox(pin="1234")
    other = await account.service.an_account()
    async with other.http:
        path = account.path("vmboxes", vmbox_id, "pin")
        refusal(await other.http.post(path, json={"data": {"pin": "1234"}}), 403, "forbidden")
        refusal(await checked(other, vmbox_id, pin="1234"), 404, "bad_identifier")
    refusal(await checked(account, NO_ID, pin="1234"), 404, "bad_identifier")
