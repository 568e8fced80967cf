"""Pages behind the links of mails."""

from uuid import UUID

import httpx

from service.security import RecipientTokens, SecretBox, load_key_ring
from tests.support.running import AccountClient

ADDRESS = '"<b>eve</b>"@example.com'


async def test_a_link_shows_a_page_and_its_button_changes_the_consent(
    account: AccountClient,
) -> None:
    ring = load_key_ring(account.service.folder / "keys.json")
    token = RecipientTokens(SecretBox(ring)).create(UUID(account.account_id), ADDRESS)
    async with httpx.AsyncClient(base_url=account.service.url) as client:
        for action in ("confirm", "unsubscribe"):
            page = await client.get(f"/v2/mail/{action}/{token}")
            assert page.status_code == 200
            assert page.headers["content-type"].startswith("text/html")
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
            assert '<form method="post">' in page.text
            assert "&lt;b&gt;eve" in page.text
        one_click = {"List-Unsubscribe": "One-Click"}
        answer = await client.post(f"/v2/mail/unsubscribe/{token}", data=one_click)
        assert answer.status_code == 200
        assert "Unsubscribed" in answer.text
        assert (await client.post(f"/v2/mail/confirm/{token}")).status_code == 200


async def test_an_invalid_link_is_not_found(account: AccountClient) -> None:
    async with httpx.AsyncClient(base_url=account.service.url) as client:
        for action in ("confirm", "unsubscribe"):
            assert (await client.get(f"/v2/mail/{action}/abc")).status_code == 404
            assert (await client.post(f"/v2/mail/{action}/abc")).status_code == 404
