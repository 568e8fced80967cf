"""Secrets that are stored encrypted: API keys of accounts, PINs, and secrets of webhooks."""

from enum import StrEnum
from uuid import UUID

import msgspec


class SecretPurpose(StrEnum):
    """Kind of a secret; the value begins its encryption context."""

    API_KEY = "api_key:"
    PIN = "pin"
    WEBHOOK = "webhook:"

    def context(self, *ids: UUID) -> bytes:
        """Returns the encryption context that binds a secret to its row."""
        return self.encode() + b"".join(part.bytes for part in ids)


class SealedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """Encrypted secret of a row. The row of an API key is its account."""

    purpose: SecretPurpose
    account_id: UUID
    row_id: UUID
    sealed: bytes

    @property
    def context(self) -> bytes:
        if self.purpose is SecretPurpose.API_KEY:
            return self.purpose.context(self.account_id)
        return self.purpose.context(self.account_id, self.row_id)
