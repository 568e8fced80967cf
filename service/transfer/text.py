"""Text of other systems: charsets, caller ids, lists of addresses."""

import re

_CALLER = re.compile(r"(?P<name>.*?)\s*<(?P<number>[^<>]*)>\s*", re.DOTALL)
_NUMBER = re.compile(r"[0-9*#+()\-. ]+")
_UNKNOWN = frozenset({"", "unknown", "asterisk", "<unknown>"})


def decode(text: bytes, charset: str = "latin-1") -> str:
    """Decodes UTF-8, else `charset`, else ISO-8859-1, in which all bytes are valid."""
    for name in ("utf-8", charset):
        try:
            return text.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return text.decode("latin-1")


def split_caller_id(text: str) -> tuple[str, str]:
    """Returns number and name of `"Name" <number>`, `number` or `Name`; empty if not known."""
    text = text.strip()
    match = _CALLER.fullmatch(text)
    if match:
        return _without_placeholder(match["number"]), _without_placeholder(_unquote(match["name"]))
    if _NUMBER.fullmatch(text):
        return text, ""
    return "", _without_placeholder(_unquote(text))


def split_addresses(text: str) -> list[str]:
    """Returns the distinct addresses of a list separated by `|`, `,` or `;`, without a check."""
    parts = (address.strip() for address in re.split("[|,;]", text))
    return list(dict.fromkeys(address for address in parts if address))


def _unquote(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _without_placeholder(text: str) -> str:
    return "" if text.strip().lower() in _UNKNOWN else text.strip()
