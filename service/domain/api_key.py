"""Named API keys of an account: their document rules."""

from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.access import SCOPES, Access, Permission, scoped_access
from service.domain.formats import NO_NUL
from service.domain.schema import Field

MAX_API_KEYS = 100
MAX_VMBOXES = 100

FIELDS: dict[str, Field] = {
    "name": Field(required=True, min_length=1, max_length=128, format=NO_NUL),
    "scopes": Field(
        required=True, types=("array",), items=Field(enum=SCOPES), min_items=1, max_items=16
    ),
    "vmbox_ids": Field(
        types=("array",), items=Field(min_length=32, max_length=32), max_items=MAX_VMBOXES
    ),
    "expires": Field(types=("integer", "string")),
}


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """Stored key without the secret. It cannot be changed, only revoked."""

    account_id: UUID
    key_id: UUID
    name: str
    scopes: tuple[Permission, ...]
    vmbox_ids: tuple[UUID, ...] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revision: int = 1

    @property
    def modified_at(self) -> datetime:
        return self.created_at

    @property
    def access(self) -> Access:
        return scoped_access(self.scopes, self.vmbox_ids)
