"""Tokens in the links of mails. They are not valid in URLs of recordings or for requests."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from service.domain.errors import TokenInvalid
from service.domain.message import MessageId
from service.domain.recording import LinkRecipient, MailLink
from service.security.keys import KeyRing
from service.security.tokens import TokenSigner

_AUDIENCE = "mailed_message"


class _MailLinkPayload(msgspec.Struct, kw_only=True):
    jti: UUID
    account_id: UUID
    vmbox_id: UUID
    media_id: str
    recipient: str
    exp: int


class MailLinkTokens:
    """Issues and verifies tokens of links in mails."""

    def __init__(self, ring: KeyRing) -> None:
        self._signer = TokenSigner(ring, _AUDIENCE)

    def issue(self, link: MailLink, now: datetime) -> str:
        return self._signer.sign(
            {
                "jti": link.link_id.hex,
                "account_id": link.account_id.hex,
                "vmbox_id": link.vmbox_id.hex,
                "media_id": str(link.message_id),
                "recipient": link.recipient.address,
                "iat": int(now.timestamp()),
                "exp": int(link.expires_at.timestamp()),
            }
        )

    def verify(self, token: str, now: datetime) -> MailLink:
        """Returns the link of `token`. Raises TokenInvalid when it is not valid or has expired."""
        payload = self._signer.verify(token, _MailLinkPayload)
        message_id = MessageId.parse(payload.media_id)
        if message_id is None or now.timestamp() >= payload.exp:
            raise TokenInvalid
        return MailLink(
            link_id=payload.jti,
            account_id=payload.account_id,
            vmbox_id=payload.vmbox_id,
            message_id=message_id,
            recipient=LinkRecipient(address=payload.recipient),
            expires_at=datetime.fromtimestamp(payload.exp, UTC),
        )
