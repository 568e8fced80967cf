"""Formats of text: time zone, e-mail address, SIP realm, id, user name."""

import re
import unicodedata
from collections.abc import Callable
from email.utils import parseaddr
from zoneinfo import available_timezones

import msgspec

# These characters are safe in a URL.
_REALM = re.compile(r"[\w.-]+", re.ASCII)
_UUID = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
_ZONES = frozenset(available_timezones())
_MAX_ADDRESS = 254
# Control, format, surrogate, private and unassigned characters, and separators of lines.
_NOT_VISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that have no width: joiners, fillers, and variation selectors.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
) | {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}


def is_zone(text: str) -> bool:
    """Returns True for a zone of the IANA database and for `inherit`."""
    return text == "inherit" or text in _ZONES


def is_address(text: str) -> bool:
    """Returns True for an address with a local part and a domain, up to 254 characters."""
    local, at, domain = text.rpartition("@")
    return bool(local and at and domain) and len(text) <= _MAX_ADDRESS and not _has_space(text)


def is_sender(text: str) -> bool:
    """Returns True for an e-mail address, with or without a name: `Name <address>`."""
    _, address = parseaddr(text)
    return text.isprintable() and is_address(address)


def is_digits(text: str) -> bool:
    """Returns True for decimal ASCII digits."""
    return text.isascii() and text.isdecimal()


def is_uuid(text: str) -> bool:
    """Returns True for 32 hex digits, with or without the dashes of a UUID."""
    return _UUID.fullmatch(text) is not None


def is_realm(text: str) -> bool:
    """Returns True for a SIP realm."""
    return _REALM.fullmatch(text) is not None


def is_username(text: str) -> bool:
    """Returns True for printable text without a colon, which separates name and password."""
    return text.isprintable() and ":" not in text


def has_no_nul(text: str) -> bool:
    """Returns True for text that PostgreSQL can store."""
    return "\0" not in text


def is_account_name(text: str) -> bool:
    """Returns True for visible text: two names that look the same must be the same."""
    return not any(
        letter in _INVISIBLE or unicodedata.category(letter) in _NOT_VISIBLE for letter in text
    )


def _has_space(text: str) -> bool:
    return bool(set(text) & set(" \t\r\n"))


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """Text format: `name` for people and JSON Schema, `is_valid` as the exact check.

    `pattern` is a regular expression for JSON Schema that accepts all valid text, and maybe more.
    """

    name: str
    is_valid: Callable[[str], bool]
    pattern: str | None = None


ADDRESS = Format(name="email", is_valid=is_address)
SENDER = Format(name="email-with-name", is_valid=is_sender)
ZONE = Format(name="iana-time-zone", is_valid=is_zone)
REALM = Format(name="sip-realm", is_valid=is_realm, pattern="^[A-Za-z0-9_.-]+$")
USERNAME = Format(name="username", is_valid=is_username, pattern="^[^:]+$")
DIGITS = Format(name="digits", is_valid=is_digits, pattern="^[0-9]*$")
UUID_TEXT = Format(
    name="uuid-or-hex",
    is_valid=is_uuid,
    pattern="^[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){4}[0-9A-Fa-f]{8}$",
)
ACCOUNT_NAME = Format(name="visible-text", is_valid=is_account_name)
NO_NUL = Format(name="text-without-nul", is_valid=has_no_nul)
