"""The state of a lamp over HTTP."""

from tests.support.running import AccountClient, data_of


async def test_the_state_of_a_lamp_is_that_of_its_box(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "mwi")
    assert data_of(await account.http.get(path)) == {"new": 0, "saved": 0, "waiting": False}
    media_id = await account.leave(vmbox_id)
    assert data_of(await account.http.get(path)) == {"new": 1, "saved": 0, "waiting": True}
    box = account.path("vmboxes", vmbox_id)
    data_of(
        await account.http.post(f"{box}/messages/{media_id}", json={"data": {"folder": "saved"}})
    )
    assert data_of(await account.http.get(path)) == {"new": 0, "saved": 1, "waiting": False}
    assert (await account.http.head(path)).status_code == 200


async def test_a_box_that_is_not_there_has_no_lamp(account: AccountClient) -> None:
    for vmbox_id in ("0" * 32, "nonsense"):
        answer = await account.http.get(account.path("vmboxes", vmbox_id, "mwi"))
        assert answer.status_code == 404


async def test_a_lamp_is_none_of_a_stranger_s_business(account: AccountClient) -> None:
    other = await account.service.an_account()
    path = account.path("vmboxes", await account.a_vmbox(), "mwi")
    async with other.http:
        assert (await other.http.get(path)).status_code == 403
