"""Untrusted text: caller names and numbers."""

import unicodedata

# Characters that change the text direction: a name could be shown as a different one.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def strip_control_characters(text: str) -> str:
    """Returns the text without control characters, line ends and bidirectional controls."""
    if text.isascii() and text.isprintable():
        return text
    kept = (
        letter
        for letter in text
        if letter not in _BIDI and unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp")
    )
    return "".join(kept)
