"""Encoding of mail headers that contain untrusted text.

Python's `EmailMessage` decodes encoded words (RFC 2047) in header values. Some versions then write
the line ends in the decoded text, so a caller name could become a header. An `EncodedHeader` is
written as it is.
"""

import re
from email.header import Header
from email.policy import Policy
from typing import Self

from service.domain.text import strip_control_characters

_MAX_CHARS = 250
_LINE_CHARS = 76
_END_OF_LINE = "\r\n"
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")


class EncodedHeader(str):
    """Complete value of the header `name`, encoded and folded. The email package keeps it as is."""

    __slots__ = ("name",)
    name: str

    @classmethod
    def trusted(cls, name: str, value: str) -> Self:
        """Builds a header from a complete value of visible ASCII characters and spaces."""
        header = cls(value)
        header.name = name
        return header

    @classmethod
    def untrusted(cls, name: str, text: str) -> Self:
        """Builds a header that holds untrusted text, such as a subject."""
        return cls.trusted(name, _encode(name, to_single_line(text)))

    @classmethod
    def address(cls, name: str, display_name: str, address: str) -> Self:
        """Builds a header that holds one valid address with an untrusted display name."""
        if not (display_name := to_single_line(display_name)):
            return cls.trusted(name, address)
        phrase = _encode_phrase(name, display_name)
        length = len(f"{name}: {phrase} <{address}>".rpartition(_END_OF_LINE)[2])
        space = " " if length <= _LINE_CHARS else f"{_END_OF_LINE} "
        return cls.trusted(name, f"{phrase}{space}<{address}>")

    def fold(self, *, policy: Policy) -> str:
        """Returns the lines of the header, as policies of the email package require it."""
        return f"{self.name}: {self}{policy.linesep}"


def to_single_line(text: str) -> str:
    """Returns untrusted text as one line without control characters."""
    return strip_control_characters(" ".join(text.split()))


def _encode(name: str, text: str) -> str:
    text = text[:_MAX_CHARS].strip()
    charset = "us-ascii" if text.isascii() and "=?" not in text else "utf-8"
    header = Header(text, charset, maxlinelen=_LINE_CHARS, header_name=name)
    return header.encode(linesep=_END_OF_LINE)


def _encode_phrase(name: str, text: str) -> str:
    if _ATOMS.fullmatch(text) or not text.isascii() or "=?" in text:
        return _encode(name, text)
    escaped = re.sub(r'(["\\])', r"\\\1", text[:_MAX_CHARS].strip())
    return f'"{escaped}"'
