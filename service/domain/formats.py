"""Formats of text: time zone, e-mail address, SIP realm, id, user name."""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import available_timezones

import msgspec

from service.domain.text import strip_control_characters

# These characters are safe in a URL.
_REALM = re.compile(r"[\w.-]+", re.ASCII)
_UUID = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
# These names depend on the host, or are not zones.
_ZONES = available_timezones() - {"localtime", "Factory", "posixrules"} | {"UTC", "GMT"}
_MAX_ADDRESS = 254
# RFC 5321, section 4.5.3.1.
_MAX_LOCAL_BYTES = 64
_MAX_DOMAIN_BYTES = 255
# RFC 5322 dot-atom with the letters of RFC 6531. Quoted local parts are not supported.
_ATOM = r"[^\x00-\x20\x7f()<>\[\]:;@\\,.\"\s]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")
# Control, format, surrogate, private and unassigned characters, and separators of lines.
_NOT_VISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that have no width: joiners, fillers, and variation selectors.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
) | {chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}


def is_zone(text: str) -> bool:
    """Returns True for a zone of the IANA database and for `inherit`."""
    return text == "inherit" or text in _ZONES


def is_language(text: str) -> bool:
    """Returns True for a language code of ISO 639, such as `en` or `yue`."""
    return _LANGUAGE.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Returns True for an address that mail can be sent to, up to 254 characters."""
    return len(text) <= _MAX_ADDRESS and split_address(text) is not None


def split_address(text: str) -> tuple[str, str] | None:
    """Returns the local part of an address and its domain in ASCII; None for other text."""
    local, _, domain = text.rpartition("@")
    if len(domain) > _MAX_DOMAIN_BYTES or len(local) > _MAX_LOCAL_BYTES:
        return None
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode()
        local_bytes = local.encode()
    except UnicodeError:
        return None
    is_valid = (
        _LOCAL.fullmatch(local)
        and _DOMAIN.fullmatch(ascii_domain)
        # A mail client could decode an encoded word (RFC 2047) in the address.
        and "=?" not in local
        and strip_control_characters(local) == local
        and len(local_bytes) <= _MAX_LOCAL_BYTES
        and len(ascii_domain) <= _MAX_DOMAIN_BYTES
    )
    return (local, ascii_domain) if is_valid else None


def split_sender(text: str) -> tuple[str, str] | None:
    """Splits `address`, `Name <address>` or `"Name" <address>` into name and address.

    Returns None for other text. The address is not checked.
    """
    name, bracket, address = text.strip().rpartition("<")
    if not bracket:
        return "", address
    return (name.strip(), address[:-1]) if address.endswith(">") else None


def is_sender(text: str) -> bool:
    """Returns True for `address` or `Name <address>`, with an ASCII local part."""
    parts = split_sender(text)
    address = split_address(parts[1]) if parts else None
    is_short = parts is not None and len(parts[1]) <= _MAX_ADDRESS
    return text.isprintable() and is_short and address is not None and address[0].isascii()


def is_digits(text: str) -> bool:
    """Returns True for decimal ASCII digits."""
    return text.isascii() and text.isdecimal()


def is_uuid(text: str) -> bool:
    """Returns True for 32 hex digits, with or without the dashes of a UUID."""
    return _UUID.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Returns True for 64 hex digits."""
    return _SHA256.fullmatch(text) is not None


def is_time(text: str) -> bool:
    """Returns True for a date and time with an offset from UTC (RFC 3339)."""
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return text[10:11].upper() == "T" and moment.tzinfo is not None


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


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """Text format: its name in errors and in JSON Schema, and the exact check `is_valid`.

    `pattern` is a regular expression for JSON Schema. It accepts all valid text, and may accept
    other text too.
    """

    name: str
    is_valid: Callable[[str], bool]
    pattern: str | None = None


ADDRESS = Format(name="email", is_valid=is_address)
SENDER = Format(name="email-with-name", is_valid=is_sender)
ZONE = Format(name="iana-time-zone", is_valid=is_zone)
LANGUAGE = Format(name="iso-639-language", is_valid=is_language, pattern="^[a-z]{2,3}$")
REALM = Format(name="sip-realm", is_valid=is_realm, pattern="^[A-Za-z0-9_.-]+$")
USERNAME = Format(name="username", is_valid=is_username, pattern="^[^:]+$")
DIGITS = Format(name="digits", is_valid=is_digits, pattern="^[0-9]*$")
UUID_TEXT = Format(
    name="uuid-or-hex",
    is_valid=is_uuid,
    pattern="^[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){4}[0-9A-Fa-f]{8}$",
)
SHA256 = Format(name="sha256-hex", is_valid=is_sha256, pattern="^[0-9A-Fa-f]{64}$")
TIME = Format(name="date-time", is_valid=is_time)
ACCOUNT_NAME = Format(name="visible-text", is_valid=is_account_name)
NO_NUL = Format(name="text-without-nul", is_valid=has_no_nul)
