"""Text that strangers chose: caller names and numbers."""

import unicodedata

# Characters that turn the direction of what follows: a name could pose as another.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def strip_control_characters(text: str) -> str:
    """The text without control characters (line ends too) and without bidi controls."""
    if text.isascii() and text.isprintable():
        return text
    kept = (
        letter
        for letter in text
        if letter not in _BIDI and unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp")
    )
    return "".join(kept)
