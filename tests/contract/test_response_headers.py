"""Headers that protect responses, in both dialects and on pages."""

import httpx
import pytest

from tests.support.running import AccountClient, RunningService

PRIVATE = "private, no-store"


async def test_json_is_private_and_not_stored_also_in_errors(account: AccountClient) -> None:
    for path, status in ((account.path("vmboxes"), 200), ("nothing", 404)):
        answer = await account.http.get(path)
        assert answer.status_code == status
        assert answer.headers["cache-control"] == PRIVATE
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


async def test_json_still_has_an_etag_and_a_304(account: AccountClient) -> None:
    path = account.path("vmboxes")
    tag = (await account.http.get(path)).headers["etag"]
    unchanged = await account.http.get(path, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.headers["etag"]) == (304, tag)
    assert unchanged.headers["cache-control"] == PRIVATE


async def test_the_mailbox_dialect_has_the_same_headers(voip: httpx.AsyncClient) -> None:
    answer = await voip.get("/voip/mailbox")
    assert answer.headers["cache-control"] == PRIVATE
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_audio_is_private_and_varies_by_credentials(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    path = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
    complete = await account.http.get(path)
    unchanged = await account.http.get(path, headers={"If-None-Match": complete.headers["etag"]})
    assert (complete.status_code, unchanged.status_code) == (200, 304)
    for answer in (complete, unchanged):
        assert answer.headers["cache-control"] == "private"
        assert {"Authorization", "X-Auth-Token"} <= set(answer.headers["vary"].split(", "))
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


@pytest.mark.parametrize("path", ["/", "/docs", "/inbox"])
async def test_a_page_cannot_be_framed_and_sends_no_referrer(
    service: RunningService, path: str
) -> None:
    async with httpx.AsyncClient(base_url=service.url) as nobody:
        answer = await nobody.get(path)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


async def test_browsers_can_read_the_file_name_and_the_time_to_wait(account: AccountClient) -> None:
    answer = await account.http.get(account.path("vmboxes"))
    exposed = set(answer.headers["access-control-expose-headers"].split(", "))
    assert {"content-disposition", "retry-after", "etag"} <= exposed
