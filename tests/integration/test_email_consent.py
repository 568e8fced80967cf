"""Unsubscribing, and confirmation by recipients who are not users of the account."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from service.domain.delivery import Delivery, Target
from service.domain.errors import RecipientLinkInvalid
from service.domain.recipient import Consent
from service.security import RecipientTokens, SecretBox
from service.usecases.mail_consents import MailConsents
from service.workers.channels import Done, Ignored
from service.workers.channels.email import EmailChannel, RecipientLinks
from tests.support.accounts import a_key_ring
from tests.support.builders import Box
from tests.support.email_harness import EmailHarness, somebody
from tests.support.raw_mail import split_mail
from tests.support.smtp import text_of

URL = "https://voicemail.example"
TOKENS = RecipientTokens(SecretBox(a_key_ring()))
LINKS = RecipientLinks(TOKENS, URL)


class ConsentCase(msgspec.Struct, frozen=True):
    """A message in a box, and an address that the running channel does not know."""

    harness: EmailHarness
    channel: EmailChannel
    box: Box
    who: str
    delivery: Delivery

    async def targets(self) -> list[Target]:
        async with self.harness.database.transaction() as connection:
            return list(await self.channel.targets(connection, self.delivery.event))

    async def answer(self, consent: Consent) -> None:
        consents = MailConsents(self.harness.database, TOKENS)
        await consents.set(TOKENS.create(self.box.account_id, self.who), consent)

    def of(self, target: Target) -> Delivery:
        return msgspec.structs.replace(self.delivery, target=target.name, state=target.state)


async def a_case(harness: EmailHarness, *, user: bool = False, **settings: Any) -> ConsentCase:
    who = somebody()
    box = await harness.a_box()
    if user:
        await harness.an_owner(box.account_id, email=who.upper())
    await harness.leave(box)
    await harness.finished(box)
    await harness.inspector.execute(
        "UPDATE vmboxes SET document = document || jsonb_build_object($2::text, $3::text[])"
        " WHERE account_id = $1",
        box.account_id,
        "notify_email_addresses",
        [who],
    )
    channel = harness.channel(links=LINKS, **settings)
    return ConsentCase(harness, channel, box, who, await harness.delivery(box, who))


async def test_a_mail_to_an_address_of_no_user_has_one_click_unsubscribe_headers(
    email_harness: EmailHarness,
) -> None:
    case = await a_case(email_harness)
    [target] = await case.targets()
    assert await case.channel.deliver(case.of(target)) == Done()
    [sent] = email_harness.post.to(case.who)
    mail = split_mail(sent.content)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    token = TOKENS.create(case.box.account_id, case.who)
    assert mail["List-Unsubscribe"] == f"<{URL}/v2/mail/unsubscribe/{token}>"


async def test_a_mail_to_a_user_has_no_unsubscribe_headers(email_harness: EmailHarness) -> None:
    case = await a_case(email_harness, user=True, needs_confirmation=True)
    [target] = await case.targets()
    assert await case.channel.deliver(case.of(target)) == Done()
    [sent] = email_harness.post.to(case.who)
    assert not [name for name in split_mail(sent.content).names if name.startswith("list-")]


@pytest.mark.parametrize("user", [True, False])
async def test_an_unsubscribed_address_gets_no_more_mails(
    email_harness: EmailHarness, user: bool
) -> None:
    case = await a_case(email_harness, user=user)
    await case.answer(Consent.UNSUBSCRIBED)
    assert await case.targets() == []
    # Also a delivery that was planned before.
    assert await case.channel.deliver(case.delivery) == Ignored("the recipient has unsubscribed")
    assert email_harness.post.to(case.who) == []
    await case.answer(Consent.CONFIRMED)
    assert await case.targets() == [Target(name=case.who)]


async def test_an_address_gets_one_confirmation_request_and_mails_after_it_confirms(
    email_harness: EmailHarness,
) -> None:
    case = await a_case(email_harness, needs_confirmation=True)
    [target] = await case.targets()
    asked = await case.channel.deliver(case.of(target))
    assert asked == Ignored("the recipient was asked to confirm")
    [sent] = email_harness.post.to(case.who)
    token = TOKENS.create(case.box.account_id, case.who)
    assert f"{URL}/v2/mail/confirm/{token}" in text_of(sent.message)
    assert list(sent.message.iter_attachments()) == []

    assert await case.targets() == []
    assert await case.channel.deliver(case.delivery) == Ignored("the recipient has not confirmed")
    await case.answer(Consent.CONFIRMED)
    assert await case.targets() == [Target(name=case.who)]
    assert await case.channel.deliver(case.delivery) == Done()


async def test_an_unconfirmed_address_gets_a_second_request_after_30_days(
    email_harness: EmailHarness,
) -> None:
    now = datetime.now(UTC)
    case = await a_case(email_harness, needs_confirmation=True, clock=lambda: now)
    assert len(await case.targets()) == 1
    assert await case.targets() == []
    now += timedelta(days=31)
    assert len(await case.targets()) == 1
    await case.answer(Consent.UNSUBSCRIBED)
    assert await case.targets() == []


async def test_a_token_that_was_not_created_here_is_refused(email_harness: EmailHarness) -> None:
    case = await a_case(email_harness)
    token = TOKENS.create(case.box.account_id, case.who)
    other = RecipientTokens(SecretBox(a_key_ring())).create(case.box.account_id, case.who)
    consents = MailConsents(email_harness.database, TOKENS)
    for wrong in ["", "x", "\u00e9", other, token[:-1], token + "<script>", token.swapcase()]:
        with pytest.raises(RecipientLinkInvalid):
            await consents.set(wrong, Consent.UNSUBSCRIBED)
