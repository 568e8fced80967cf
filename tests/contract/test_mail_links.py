"""Links in mails: they open one message without sign-in, and what ends them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.domain.message import MessageId
from service.domain.recording import LinkRecipient, MailLink
from service.security import MailLinkTokens, RecipientTokens, SecretBox, load_key_ring
from tests.contract.test_audit import recorded
from tests.contract.wire import refusal
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of

ADDRESS = "Ann@example.com"


class Mailed:
    """A box with a message, and the link of its mail."""

    def __init__(self, account: AccountClient, vmbox_id: str, media_id: str) -> None:
        self.account, self.vmbox_id, self.media_id = account, vmbox_id, media_id

    def token(self, lifetime: timedelta = timedelta(days=7), address: str = ADDRESS) -> str:
        """The token of the link, as the notifier issues it."""
        ring = load_key_ring(Path(self.account.service.environment["AFTERTONE_KEY_RING_FILE"]))
        message_id = MessageId.parse(self.media_id)
        assert message_id is not None
        link = MailLink(
            link_id=uuid4(),
            account_id=UUID(self.account.account_id),
            vmbox_id=UUID(self.vmbox_id),
            message_id=message_id,
            recipient=LinkRecipient(address=address.lower()),
            expires_at=datetime.now(UTC) + lifetime,
        )
        return MailLinkTokens(SecretBox(ring)).issue(link)

    async def change_box(self, **changes: Any) -> None:
        path = self.account.path("vmboxes", self.vmbox_id)
        data_of(await self.account.http.patch(path, json={"data": changes}))


async def a_mail(
    account: AccountClient, audio: bytes = an_mp3(), content_type: str = "audio/mpeg"
) -> Mailed:
    vmbox_id = await account.a_vmbox(name="Front desk", notify_email_addresses=[ADDRESS])
    caller = {"caller_id_name": "Bob", "caller_id_number": "5550001"}
    return Mailed(account, vmbox_id, await account.leave(vmbox_id, audio, content_type, **caller))


async def open_message(service: RunningService, token: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=service.url) as visitor:
        return await visitor.post("/v2/recordings", json={"data": {"token": token}})


async def play(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as visitor:
        return await visitor.get(url)


async def test_a_link_opens_and_plays_its_message_without_sign_in(account: AccountClient) -> None:
    mail = await a_mail(account)
    token = mail.token()
    message = data_of(await open_message(account.service, token))
    assert (message["caller_id_name"], message["vmbox_name"]) == ("Bob", "Front desk")
    assert (await play(message["url"])).content == an_mp3()
    assert await account.counts(mail.vmbox_id) == {"new": 1, "saved": 0}
    (created,) = await recorded(account, action="message.link_created")
    (read,) = await recorded(account, action="message.audio_read")
    assert created["principal"] == read["principal"] == "link"
    assert created["target"] == read["credential_id"]
    assert created["media_id"] == mail.media_id


async def test_the_token_serves_no_other_purpose(account: AccountClient) -> None:
    mail = await a_mail(account)
    token = mail.token()
    url = f"{account.service.url}/v2/recordings/{token}"
    refusal(await play(url), 401, "invalid_link")
    async with account.service.client(token) as caller:
        answer = await caller.get(account.path("vmboxes"))
    assert answer.status_code == 401
    playing = data_of(await open_message(account.service, token))["url"].rpartition("/")[2]
    refusal(await open_message(account.service, playing), 401, "invalid_link")
    async with account.service.client(playing) as caller:
        answer = await caller.get(account.path("vmboxes"))
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"notify_email_addresses": ["bob@example.com"]},
        {"include_message_on_notify": False},
    ],
)
async def test_a_link_ends_when_its_recipient_gets_no_audio_any_more(
    account: AccountClient, changes: dict[str, Any]
) -> None:
    mail = await a_mail(account)
    url = data_of(await open_message(account.service, mail.token()))["url"]
    await mail.change_box(**changes)
    refusal(await open_message(account.service, mail.token()), 401, "invalid_link")
    refusal(await play(url), 401, "invalid_link")


async def test_a_link_ends_when_its_recipient_unsubscribes(account: AccountClient) -> None:
    mail = await a_mail(account)
    ring = load_key_ring(Path(account.service.environment["AFTERTONE_KEY_RING_FILE"]))
    consent = RecipientTokens(SecretBox(ring)).create(UUID(account.account_id), ADDRESS)
    async with httpx.AsyncClient() as visitor:
        page = await visitor.post(f"{account.service.url}/v2/mail/unsubscribe/{consent}")
    assert page.status_code == 200
    refusal(await open_message(account.service, mail.token()), 401, "invalid_link")


async def test_a_link_ends_with_its_time_its_message_and_its_box(account: AccountClient) -> None:
    mail = await a_mail(account)
    expired = mail.token(timedelta(seconds=-1))
    refusal(await open_message(account.service, expired), 401, "invalid_link")
    short = data_of(await open_message(account.service, mail.token(timedelta(minutes=5))))
    # Both are whole seconds: one is rounded up, the other down.
    assert short["expires"] - short["timestamp"] <= 301
    for text in ("x", f"{expired}x", ""):
        assert (await open_message(account.service, text)).status_code in (400, 401)
    path = account.path("vmboxes", mail.vmbox_id)
    data_of(await account.http.delete(f"{path}/messages/{mail.media_id}"))
    refusal(await open_message(account.service, mail.token()), 404, "bad_identifier")
    data_of(await account.http.delete(path))
    refusal(await open_message(account.service, mail.token()), 401, "invalid_link")
