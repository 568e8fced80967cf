"""Accounts: their tree, their document rules, and the callers that act for them."""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from service.domain.access import Access
from service.domain.errors import Problem
from service.domain.formats import ACCOUNT_NAME, NO_NUL, REALM, SENDER, ZONE
from service.domain.move import MoveState
from service.domain.rendition import RenditionFormat
from service.domain.retention import (
    DAYS_FIELD,
    DELETED_DAYS,
    MESSAGE_DAYS,
    RetentionRule,
    days_of,
)
from service.domain.schema import (
    Document,
    Field,
    Fields,
    apply_schema,
    check_size,
    submitted_keys,
)

MAX_NAME = 128
MAX_REALM = 253
MAX_SENDER = 320
MAX_SUBJECT = 200
MAX_QUOTA = 1_000_000
MAX_TRASH_DAYS = 3_650
# 8 PiB, less than the largest integer that every JSON parser reads exactly.
MAX_STORED_BYTES = 2**53 - 1
_SERVER_KEYS = frozenset({"id", "metadata"})


class Method(StrEnum):
    """Authentication method of a caller."""

    API_KEY = "api_key"
    NAMED_KEY = "named_key"
    USER = "user"
    OPERATOR = "operator"
    ISSUER = "issuer"


class Quota(StrEnum):
    """Quotas of an account, keys of `limits` in its document."""

    BOXES = "boxes"
    USERS = "users"
    WEBHOOKS = "webhooks"
    API_KEYS = "api_keys"
    STORED_BYTES = "stored_bytes"
    RENDITION_BYTES = "rendition_bytes"
    STREAMS = "streams"
    REQUESTS_PER_S = "requests_per_s"


_BYTE_QUOTAS = (Quota.STORED_BYTES, Quota.RENDITION_BYTES)


class AccountFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Part of an account that every request needs; small, because processes cache many of them.

    `ancestors` begins with the root. `max_message_count` and `redirect_audio` are None when the
    document has none. `has_vmbox_retention` is False while no box has had a retention of its own.
    `moved_to` is the URL of the deployment to which the account is or was moved.
    """

    account_id: UUID
    parent_id: UUID | None
    ancestors: tuple[UUID, ...]
    name: str
    realm: str
    max_message_count: int | None
    wire_profile: str | None
    redirect_audio: bool | None = None
    auth_epoch: int
    revision: int
    timezone: str | None = None
    trash_days: int | None = None
    retention: RetentionRule = RetentionRule()
    has_vmbox_retention: bool = False
    limits: Mapping[str, int] = {}
    move_state: MoveState | None = None
    moved_to: str | None = None

    @property
    def is_root(self) -> bool:
        return self.parent_id is None

    @property
    def max_retention_days(self) -> int | None:
        """The longest retention of the account and its boxes, which an account above it sets."""
        return days_of(self.limits, MESSAGE_DAYS)

    def contains(self, other: "AccountFacts") -> bool:
        """Returns True when `other` is this account or is below it."""
        return other.account_id == self.account_id or self.account_id in other.ancestors


class Account(AccountFacts, frozen=True, kw_only=True):
    """Complete account. `document` holds its public keys, including keys that the schema lacks."""

    document: dict[str, Any]
    created_at: datetime
    modified_at: datetime

    @property
    def facts(self) -> AccountFacts:
        names = AccountFacts.__struct_fields__
        return AccountFacts(**{name: getattr(self, name) for name in names})


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a verified token.

    The token is valid while its `auth_epoch` equals the epoch of the account. The `user_epoch` of a
    user's token must also equal the epoch of the user. A token of an external issuer has no epoch;
    `is_admin` is its claim. `key_id` is the named API key, which limits the access.
    """

    token_id: UUID
    account_id: UUID
    owner_id: UUID | None = None
    user_epoch: int | None = None
    key_id: UUID | None = None
    is_admin: bool = False
    method: Method
    auth_epoch: int | None
    issued_at: datetime
    expires_at: datetime


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """Quotas of accounts without these keys in `limits`. 0 means no quota."""

    boxes: int = 0
    users: int = 0
    webhooks: int = 0
    api_keys: int = 0
    stored_bytes: int = 0
    rendition_bytes: int = 0

    def limit_of(self, account: AccountFacts, quota: Quota) -> int | None:
        """Returns the quota of an account, or None if it has no quota."""
        limit: int = account.limits.get(quota, getattr(self, quota))
        return limit or None

    def most_of(self, account: AccountFacts, quota: Quota, maximum: int) -> int:
        """Returns the quota of an account, at most `maximum`; without a quota, `maximum`."""
        return min(maximum, self.limit_of(account, quota) or maximum)


NO_QUOTAS = Quotas()


class Caller(msgspec.Struct, frozen=True):
    """Authenticated caller. `claims` is None for an operator, who needs no token."""

    account: AccountFacts
    access: Access
    claims: Claims | None = None


# Unknown keys are kept. The values of `wire_profile` belong to the HTTP dialect.
FIELDS: dict[str, Field] = {
    "name": Field(required=True, min_length=1, max_length=MAX_NAME, format=ACCOUNT_NAME),
    "realm": Field(required=True, min_length=4, max_length=MAX_REALM, format=REALM),
    DELETED_DAYS: DAYS_FIELD,
    "limits": Field(
        types=("object",),
        fields={
            name.value: Field(
                types=("integer",),
                minimum=0,
                maximum=MAX_STORED_BYTES if name in _BYTE_QUOTAS else MAX_QUOTA,
            )
            for name in Quota
        }
        | {
            MESSAGE_DAYS: DAYS_FIELD,
            "email_from_domains": Field(
                types=("array",), items=Field(min_length=1, max_length=MAX_REALM), max_items=20
            ),
        },
    ),
    "max_message_count": Field(types=("integer",), minimum=0, maximum=2**31 - 1),
    MESSAGE_DAYS: DAYS_FIELD,
    "normalize_audio": Field(types=("boolean",)),
    "notify_audio_format": Field(enum=tuple(RenditionFormat)),
    "notify_email": Field(
        types=("object",),
        fields={
            "from": Field(max_length=MAX_SENDER, format=SENDER),
            "subject": Field(min_length=1, max_length=MAX_SUBJECT, format=NO_NUL),
        },
    ),
    "redirect_audio": Field(types=("boolean",)),
    "timezone": Field(format=ZONE),
    "trash_days": Field(types=("integer",), minimum=1, maximum=MAX_TRASH_DAYS),
    "wire_profile": Field(min_length=1, max_length=64),
}


def validate_account(document: Document, fields: Fields = FIELDS) -> tuple[Document, list[Problem]]:
    """Returns the public keys of an account and the broken rules, except those of uniqueness.

    A key with null counts as missing. The name is normalized (NFKC). Raises DocumentTooLarge.
    """
    submitted = submitted_keys(document, _SERVER_KEYS)
    if isinstance(name := submitted.get("name"), str):
        submitted["name"] = unicodedata.normalize("NFKC", name)
    check_size(submitted)
    return apply_schema(submitted, fields)
