"""The link of a mail to its message in the web inbox."""

import re
from datetime import timedelta
from typing import Any

import msgspec

from service.domain.clock import utc_now
from service.domain.delivery import Done
from service.domain.message import MessageId
from service.security import MailLinkTokens, SecretBox
from service.workers.channels.email import EmailChannel
from tests.support.accounts import a_key_ring
from tests.support.builders import Box
from tests.support.email_harness import EmailHarness, somebody
from tests.support.smtp import text_of

INBOX = "https://voicemail.example/inbox"
TOKENS = MailLinkTokens(SecretBox(a_key_ring()))


async def _mailed(harness: EmailHarness, channel: EmailChannel, **box: Any) -> tuple[Box, str, str]:
    """Sends the mail of a message; returns its box and recipient, and the link of the mail."""
    who = somebody()
    new_box = await harness.a_box(notify_email_addresses=[who], **box)
    await harness.leave(new_box)
    await harness.finished(new_box)
    delivery = msgspec.structs.replace(await harness.delivery(new_box, who), target=who.upper())
    assert await channel.deliver(delivery) == Done()
    [sent] = harness.post.to(who.upper())
    link = re.search(rf"{INBOX}#\S+", text_of(sent.message, "plain"))
    assert link is not None
    assert link[0].replace("&", "&amp;") in text_of(sent.message, "html")
    return new_box, who, link[0].partition("#")[2]


async def test_the_link_opens_the_message_of_the_mail_for_its_recipient(
    email_harness: EmailHarness,
) -> None:
    channel = email_harness.channel(mail_links=TOKENS, inbox_url=INBOX, link_days=7)
    box, who, fragment = await _mailed(email_harness, channel)
    name, _, token = fragment.partition("=")
    link = TOKENS.verify(token, utc_now())
    assert name == "mail"
    assert (link.account_id, link.vmbox_id) == (box.account_id, box.vmbox_id)
    assert link.recipient.address == who.lower()
    assert timedelta(days=6) < link.expires_at - utc_now() <= timedelta(days=7)


async def test_the_link_needs_sign_in_if_the_mail_has_no_audio_or_by_configuration(
    email_harness: EmailHarness,
) -> None:
    options: dict[str, Any] = {"inbox_url": INBOX, "link_days": 7, "mail_links": TOKENS}
    for changes, box_changes in (
        ({}, {"include_message_on_notify": False}),
        ({"link_days": 0}, {}),
        ({"mail_links": None}, {}),
    ):
        channel = email_harness.channel(**{**options, **changes})
        box, _, fragment = await _mailed(email_harness, channel, **box_changes)
        vmbox, _, message = fragment.partition("&message=")
        assert vmbox == f"box={box.vmbox_id.hex}"
        assert MessageId.parse(message) is not None
