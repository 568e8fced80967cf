"""The versions that a client names in `If-Match` and `If-None-Match` (RFC 9110, section 13.1)."""

import re
from collections.abc import Mapping

# Weak or strong, then what is between the quotes (8.8.3), which may hold commas and blanks.
_TAGS = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def if_none_match_matches(headers: Mapping[str, str], tag: str) -> bool:
    """Whether the client has this version already; the comparison is weak."""
    named = headers.get("if-none-match", "")
    return named.strip() == "*" or any(known == tag for _, known in _TAGS.findall(named))


def if_match_matches(headers: Mapping[str, str], tag: str) -> bool:
    """Whether this version is one that the client wants to meet; the comparison is strong."""
    named = headers.get("if-match", "*")
    return named.strip() == "*" or ("", tag) in _TAGS.findall(named)
