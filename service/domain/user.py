"""Users of an account: their document rules and their credentials."""

import hashlib
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from service.domain.access import PrivLevel
from service.domain.errors import Forbidden, Problem
from service.domain.formats import ADDRESS, USERNAME, ZONE
from service.domain.schema import (
    Document,
    Field,
    apply_schema,
    check_size,
    strip_reserved_keys,
    submitted_keys,
)

MAX_USERNAME = 256
MIN_PASSWORD = 8
MAX_PASSWORD = 256
_SERVER_KEYS = frozenset({"id", "metadata", "old_password"})
# Keys that a user without administrator rights may change in its own document.
SELF_SERVICE_KEYS = frozenset({"email", "first_name", "last_name", "timezone"})
_NAME = Field(min_length=1, max_length=128)

# Unknown keys are kept.
FIELDS: dict[str, Field] = {
    "username": Field(required=True, min_length=1, max_length=MAX_USERNAME, format=USERNAME),
    "password": Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD),
    "email": Field(min_length=3, max_length=254, format=ADDRESS),
    "first_name": _NAME,
    "last_name": _NAME,
    "priv_level": Field(enum=tuple(PrivLevel), default=PrivLevel.USER.value),
    "timezone": Field(format=ZONE),
    "vm_to_email_enabled": Field(types=("boolean",), default=True),
}

Password = str | None | UnsetType
"""New password; None removes the password, UNSET keeps it."""


class CredentialMethod(StrEnum):
    """Hash of `username:password` that a client sends."""

    MD5 = "md5"
    SHA = "sha"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Stored user. `document` is the public document without `id` and password."""

    account_id: UUID
    user_id: UUID
    document: Document
    has_password: bool
    sort_key: str
    revision: int
    created_at: datetime
    modified_at: datetime

    @property
    def username(self) -> str:
        name: str = self.document["username"]
        return name


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials of a user: a hash, and the account by id, realm or name (in this order).

    `username` is None when the client did not send it.
    """

    method: CredentialMethod
    digest: str
    account_id: UUID | None = None
    realm: str | None = None
    account_name: str | None = None
    username: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.method!r})"


def validate_user(
    document: Document, min_password: int = MIN_PASSWORD
) -> tuple[Document, Password, list[Problem]]:
    """Returns the public keys without the password, the password, and the broken rules.

    Does not check that the name is unique. A key with null counts as missing, except for the
    password. Raises DocumentTooLarge.
    """
    submitted = submitted_keys(document, _SERVER_KEYS)
    check_size(submitted)
    password = Field(min_length=min_password, max_length=MAX_PASSWORD)
    checked, problems = apply_schema(submitted, {**FIELDS, "password": password})
    checked.pop("password", None)
    problems = [hide_value(each) if each.field == "password" else each for each in problems]
    return checked, document.get("password", UNSET), problems


def restrict_to_own_keys(document: Document, submitted: Document) -> Document:
    """Returns the document of a user with the changes that the user itself may make to it.

    Self-service keys that are absent from `submitted` are removed; other absent keys stay. Raises
    Forbidden for a new value of another key, and for the removal of the password.
    """
    for key, value in strip_reserved_keys(submitted, _SERVER_KEYS).items():
        if key not in SELF_SERVICE_KEYS | {"password"} and value != document.get(key):
            raise Forbidden
    if submitted.get("password", UNSET) is None:
        raise Forbidden
    own = {key: submitted[key] for key in SELF_SERVICE_KEYS | {"password"} if key in submitted}
    return {key: document[key] for key in document.keys() - SELF_SERVICE_KEYS} | own


def hide_value(problem: Problem) -> Problem:
    """Returns the problem without the rejected value, which may be a password."""
    return msgspec.structs.replace(problem, value=None)


def digests_of(username: str, password: str) -> dict[CredentialMethod, str]:
    """Returns the hashes that clients send for a name and a password."""
    clear = f"{username}:{password}".encode()
    return {
        CredentialMethod.MD5: hashlib.md5(clear, usedforsecurity=False).hexdigest(),
        CredentialMethod.SHA: hashlib.sha1(clear, usedforsecurity=False).hexdigest(),
    }
