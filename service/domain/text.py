"""Untrusted text: caller names and numbers."""

import re
import unicodedata

# Characters that change the text direction. With them, a name could look like a different name.
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


def safe_file_name(name: str) -> str:
    """Returns a file name without a path, control characters and quotation marks.

    Each such character becomes `_`. A dot at the start would hide the file; it also becomes `_`.
    """
    name = "".join("_" if _is_unsafe(character) else character for character in name)
    return re.sub(r"^(\s*)\.", r"\1_", name)


def _is_unsafe(character: str) -> bool:
    # Control and format characters, among them those that change the direction, and line breaks.
    category = unicodedata.category(character)
    return character in '"\\/' or category.startswith("C") or category in ("Zl", "Zp")
