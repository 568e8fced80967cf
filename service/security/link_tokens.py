"""Tokens in the URLs of recording links. They are not valid as tokens of the API."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from service.domain.account import Claims
from service.domain.errors import TokenInvalid
from service.domain.message import MessageId
from service.domain.recording import LinkRecipient, RecordingLink
from service.security.keys import KeyRing
from service.security.tokens import ClaimsPayload, TokenSigner, claims_of, payload_of

_AUDIENCE = "recording"


class _LinkPayload(msgspec.Struct, kw_only=True):
    jti: UUID
    account_id: UUID
    vmbox_id: UUID
    media_id: str
    signer: ClaimsPayload | None = None
    recipient: str | None = None
    exp: int


class LinkTokens:
    """Issues and verifies tokens of recording links."""

    def __init__(self, ring: KeyRing) -> None:
        self._signer = TokenSigner(ring, _AUDIENCE)

    def issue(self, link: RecordingLink, now: datetime) -> str:
        signer = link.signer
        return self._signer.sign(
            {
                "jti": link.link_id.hex,
                "account_id": link.account_id.hex,
                "vmbox_id": link.vmbox_id.hex,
                "media_id": str(link.message_id),
                **(
                    {"recipient": signer.address}
                    if isinstance(signer, LinkRecipient)
                    else {"signer": payload_of(signer)}
                ),
                "iat": int(now.timestamp()),
                "exp": int(link.expires_at.timestamp()),
            }
        )

    def verify(self, token: str, now: datetime) -> RecordingLink:
        """Returns the link of `token`. Raises TokenInvalid when it is not valid or has expired."""
        payload = self._signer.verify(token, _LinkPayload)
        message_id = MessageId.parse(payload.media_id)
        if message_id is None or now.timestamp() >= payload.exp:
            raise TokenInvalid
        return RecordingLink(
            link_id=payload.jti,
            account_id=payload.account_id,
            vmbox_id=payload.vmbox_id,
            message_id=message_id,
            signer=_signer_of(payload),
            expires_at=datetime.fromtimestamp(payload.exp, UTC),
        )


def _signer_of(payload: _LinkPayload) -> Claims | LinkRecipient:
    if payload.recipient is not None:
        return LinkRecipient(address=payload.recipient)
    if payload.signer is None:
        raise TokenInvalid
    return claims_of(payload.signer)
