"""An account: its place in the tree, what a new one must be like, and who speaks for one."""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from service.domain.errors import Invalid, Problem, Rule

MAX_NAME = 128
MIN_REALM = 4
MAX_REALM = 253
# The rule of KAZOO's accounts schema, so a realm is safe in an address.
_REALM = re.compile(r"[\w.-]+", re.ASCII)
_COUNT_LIMIT = 2**31 - 1


class WireProfile(StrEnum):
    """The spelling of times and lengths that an account's clients expect."""

    KAZOO = "kazoo"
    AUDIAN = "audian"


class Method(StrEnum):
    """How a caller proved who it is."""

    API_KEY = "api_key"
    USER = "user"
    OPERATOR = "operator"


class AccountFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What every request needs of an account; small, so that processes keep many in memory.

    `ancestors` begins with the root. `max_message_count` is None when the document has none.
    """

    account_id: UUID
    parent_id: UUID | None
    ancestors: tuple[UUID, ...]
    name: str
    realm: str
    max_message_count: int | None
    wire_profile: WireProfile
    auth_epoch: int
    revision: int
    timezone: str | None = None

    @property
    def is_root(self) -> bool:
        return self.parent_id is None

    def reaches(self, other: "AccountFacts") -> bool:
        """Whether `other` is this account or lies below it."""
        return other.account_id == self.account_id or self.account_id in other.ancestors


class Account(AccountFacts, frozen=True, kw_only=True):
    """A whole account. `document` holds its public keys, those unknown to us too, as they came."""

    document: dict[str, Any]
    created_at: datetime
    modified_at: datetime


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified token says. It counts only while `auth_epoch` is the account's own."""

    token_id: UUID
    account_id: UUID
    owner_id: str | None = None
    method: Method
    auth_epoch: int
    issued_at: datetime
    expires_at: datetime


class Caller(msgspec.Struct, frozen=True):
    """Who asks. `claims` is None for an operator, who needs no token."""

    account: AccountFacts
    claims: Claims | None = None


class NewAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account to be made; `document` has passed `problems_of`."""

    name: str
    realm: str
    document: dict[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "NewAccount":
        """The account that `document` describes; Invalid with every problem it has."""
        if problems := problems_of(document):
            raise Invalid(problems)
        public = {key: value for key, value in document.items() if _is_public(key)}
        return cls(name=document["name"], realm=document["realm"], document=public)


def problems_of(document: Mapping[str, Any]) -> list[Problem]:
    """Every rule that `document` breaks as an account, but for those that need a look-up."""
    return [
        *_text_problems("name", document.get("name"), 1, MAX_NAME),
        *_realm_problems(document.get("realm")),
        *_count_problems(document.get("max_message_count")),
        *_profile_problems(document.get("wire_profile")),
    ]


def _is_public(key: str) -> bool:
    return key != "id" and not key.startswith(("_", "pvt_"))


def _text_problems(field: str, value: Any, shortest: int, longest: int) -> list[Problem]:
    if value is None:
        return [Problem(field=field, rule=Rule.REQUIRED)]
    if not isinstance(value, str):
        return [Problem(field=field, rule=Rule.TYPE, target="string", value=value)]
    if len(value) < shortest:
        return [Problem(field=field, rule=Rule.MIN_LENGTH, target=shortest, value=value)]
    if len(value) > longest:
        return [Problem(field=field, rule=Rule.MAX_LENGTH, target=longest, value=value)]
    if "\0" in value:
        return [Problem(field=field, rule=Rule.WRONG_FORMAT, value=value)]
    return []


def _realm_problems(value: Any) -> list[Problem]:
    problems = _text_problems("realm", value, MIN_REALM, MAX_REALM)
    if problems or _REALM.fullmatch(value):
        return problems
    return [Problem(field="realm", rule=Rule.WRONG_FORMAT, value=value)]


def _count_problems(value: Any) -> list[Problem]:
    field = "max_message_count"
    if value is None:
        return []
    if not isinstance(value, int) or isinstance(value, bool):
        return [Problem(field=field, rule=Rule.TYPE, target="integer", value=value)]
    if value < 0:
        return [Problem(field=field, rule=Rule.MINIMUM, target=0, value=value)]
    if value > _COUNT_LIMIT:
        return [Problem(field=field, rule=Rule.MAXIMUM, target=_COUNT_LIMIT, value=value)]
    return []


def _profile_problems(value: Any) -> list[Problem]:
    if value is None or value in list(WireProfile):
        return []
    profiles = [profile.value for profile in WireProfile]
    return [Problem(field="wire_profile", rule=Rule.ENUM, target=profiles, value=value)]
