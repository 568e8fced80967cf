"""What a text must be like to be a time zone, an e-mail address, a realm, an id, a name."""

import re
from collections.abc import Callable
from email.utils import parseaddr
from zoneinfo import available_timezones

import msgspec

# Safe in an address.
_REALM = re.compile(r"[\w.-]+", re.ASCII)
_UUID = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
_ZONES = frozenset(available_timezones())
_MAX_ADDRESS = 254


def is_zone(text: str) -> bool:
    """A zone of the IANA database, or `inherit`: that of whatever it belongs to."""
    return text == "inherit" or text in _ZONES


def is_address(text: str) -> bool:
    """An e-mail address, as far as that can be told without sending to it."""
    local, at, domain = text.rpartition("@")
    return bool(local and at and domain) and len(text) <= _MAX_ADDRESS and not _has_space(text)


def is_sender(text: str) -> bool:
    """An e-mail address, with a name before it or not: `Name <address>`."""
    _, address = parseaddr(text)
    return text.isprintable() and is_address(address)


def is_digits(text: str) -> bool:
    """What a telephone can dial, without its star and its number sign."""
    return text.isascii() and text.isdecimal()


def is_uuid(text: str) -> bool:
    """32 hex digits, with the dashes of a UUID or without any."""
    return _UUID.fullmatch(text) is not None


def is_realm(text: str) -> bool:
    """A SIP realm."""
    return _REALM.fullmatch(text) is not None


def is_username(text: str) -> bool:
    """Printable, and without the colon that parts it from its password where both are sent."""
    return text.isprintable() and ":" not in text


def has_no_nul(text: str) -> bool:
    """Postgres keeps no NUL in text."""
    return "\0" not in text


def _has_space(text: str) -> bool:
    return bool(set(text) & set(" \t\r\n"))


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """What a text must be like: `name` for people and JSON Schema, `holds` decides.

    `pattern` is a regular expression for JSON Schema that lets through whatever `holds` does.
    """

    name: str
    matches: Callable[[str], bool]
    pattern: str | None = None


ADDRESS = Format(name="email", matches=is_address)
SENDER = Format(name="email-with-name", matches=is_sender)
ZONE = Format(name="iana-time-zone", matches=is_zone)
REALM = Format(name="sip-realm", matches=is_realm, pattern="^[A-Za-z0-9_.-]+$")
USERNAME = Format(name="username", matches=is_username, pattern="^[^:]+$")
DIGITS = Format(name="digits", matches=is_digits, pattern="^[0-9]*$")
UUID_TEXT = Format(
    name="uuid-or-hex",
    matches=is_uuid,
    pattern="^[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){4}[0-9A-Fa-f]{8}$",
)
NO_NUL = Format(name="text-without-nul", matches=has_no_nul)
