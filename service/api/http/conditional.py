"""Preconditions `If-Match` and `If-None-Match` (RFC 9110, section 13.1)."""

import re
from collections.abc import Mapping

# The weakness flag and the opaque tag (section 8.8.3), which may contain commas.
_TAGS = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def if_none_match_matches(headers: Mapping[str, str], tag: str) -> bool:
    """Returns True if the header contains `tag`, by weak comparison."""
    header = headers.get("if-none-match", "")
    return header.strip() == "*" or any(listed == tag for _, listed in _TAGS.findall(header))


def if_match_matches(headers: Mapping[str, str], tag: str) -> bool:
    """Returns True if the header is absent or contains `tag`, by strong comparison."""
    header = headers.get("if-match", "*")
    return header.strip() == "*" or ("", tag) in _TAGS.findall(header)
