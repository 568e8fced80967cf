"""Tokens of links in mails: what they contain, and which ones are refused."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from service.domain.errors import TokenInvalid
from service.domain.message import MessageId
from service.domain.recording import LinkRecipient, MailLink
from service.security import KeyRing, MailLinkTokens, RecipientTokens, SecretBox
from tests.support.accounts import a_key_ring

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINK = MailLink(
    link_id=uuid4(),
    account_id=uuid4(),
    vmbox_id=uuid4(),
    message_id=MessageId(202603, uuid4()),
    recipient=LinkRecipient(address="zoë@example.com"),
    expires_at=NOW + timedelta(days=7),
)


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return a_key_ring()


def test_the_ring_of_a_notifier_issues_tokens_that_the_api_accepts(ring: KeyRing) -> None:
    exported = msgspec.structs.replace(ring, signing={}, active_signing="", pepper=b"")
    token = MailLinkTokens(SecretBox(exported)).issue(LINK)
    assert len(token) < 250
    assert MailLinkTokens(SecretBox(ring)).verify(token, NOW) == LINK


def test_a_changed_or_expired_token_and_one_of_another_ring_are_refused(ring: KeyRing) -> None:
    tokens = MailLinkTokens(SecretBox(ring))
    token = tokens.issue(LINK)
    changed = [
        f"{token[:at]}{'A' if token[at] != 'A' else 'B'}{token[at + 1 :]}"
        for at in range(len(token))
    ]
    other = MailLinkTokens(SecretBox(a_key_ring())).issue(LINK)
    consent = RecipientTokens(SecretBox(ring)).create(LINK.account_id, LINK.recipient.address)
    for wrong in (*changed, other, consent, token + "=", token[:-4], "", "é", "A" * 4096):
        with pytest.raises(TokenInvalid):
            tokens.verify(wrong, NOW)
    with pytest.raises(TokenInvalid):
        tokens.verify(token, LINK.expires_at)
