"""Tokens in the links of mails: they open one message, for one recipient, until they expire.

They are authenticated by a keyed hash, not signed as other tokens are: the notifier, which issues
them, does not have the keys that sign tokens of the API.
"""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from uuid import UUID

from service.domain.errors import TokenInvalid
from service.domain.message import MessageId
from service.domain.recording import LinkRecipient, MailLink
from service.security.encryption import SecretBox

# Ids of link, account, box and message; month of the message; Unix seconds of the expiry.
_FIELDS = struct.Struct(">16s16s16s16sIQ")
_MAC_BYTES = 32


class MailLinkTokens:
    """Issues and verifies tokens of links in mails.

    A token is base64 of: the fields, a keyed hash, address in lower case.
    """

    def __init__(self, secrets: SecretBox) -> None:
        self._secrets = secrets

    def issue(self, link: MailLink) -> str:
        fields = _FIELDS.pack(
            link.link_id.bytes,
            link.account_id.bytes,
            link.vmbox_id.bytes,
            link.message_id.id.bytes,
            link.message_id.month,
            int(link.expires_at.timestamp()),
        )
        address = link.recipient.address
        content = fields + self._mac(fields, address) + address.encode()
        return urlsafe_b64encode(content).decode().rstrip("=")

    def verify(self, token: str, now: datetime) -> MailLink:
        """Returns the link of `token`. Raises TokenInvalid when it is not valid or has expired."""
        try:
            link = self._read(token)
            # The decoder accepts several spellings of the same bytes; only one is a token.
            is_valid = hmac.compare_digest(self.issue(link), token)
        except (ValueError, OverflowError, OSError, struct.error):
            raise TokenInvalid from None
        if not is_valid or now >= link.expires_at:
            raise TokenInvalid
        return link

    def _read(self, token: str) -> MailLink:
        content = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        link_id, account_id, vmbox_id, message_id, month, expiry = _FIELDS.unpack_from(content)
        return MailLink(
            link_id=UUID(bytes=link_id),
            account_id=UUID(bytes=account_id),
            vmbox_id=UUID(bytes=vmbox_id),
            message_id=MessageId(month, UUID(bytes=message_id)),
            recipient=LinkRecipient(address=content[_FIELDS.size + _MAC_BYTES :].decode()),
            expires_at=datetime.fromtimestamp(expiry, UTC),
        )

    def _mac(self, fields: bytes, address: str) -> bytes:
        return self._secrets.mail_fingerprint(f"message_link {fields.hex()} {address}")[:_MAC_BYTES]
