"""Tokens in the links of mails: they prove that the holder received a mail at an address."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from service.security.encryption import SecretBox

_MAC_BYTES = 16
_UUID_BYTES = 16


class RecipientTokens:
    """Creates and reads tokens. They do not expire, as an unsubscribe link must not.

    A token is base64 of: account id, 16 bytes of a keyed hash, address in lower case.
    """

    def __init__(self, secrets: SecretBox) -> None:
        self._secrets = secrets

    def create(self, account_id: UUID, address: str) -> str:
        address = address.lower()
        content = account_id.bytes + self._mac(account_id, address) + address.encode()
        return urlsafe_b64encode(content).decode().rstrip("=")

    def read(self, token: str) -> tuple[UUID, str] | None:
        """Returns account and address, or None for a token that `create` did not return."""
        try:
            content = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            account_id = UUID(bytes=content[:_UUID_BYTES])
            address = content[_UUID_BYTES + _MAC_BYTES :].decode()
            # The decoder accepts several spellings of the same bytes; only one is a token.
            is_valid = hmac.compare_digest(self.create(account_id, address), token)
        except ValueError:
            return None
        return (account_id, address) if is_valid else None

    def _mac(self, account_id: UUID, address: str) -> bytes:
        text = f"{account_id.hex} {address}"
        return self._secrets.mail_fingerprint(text)[:_MAC_BYTES]
