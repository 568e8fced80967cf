"""Kind of a multipart part, from its headers and its first bytes."""

import codecs
import re
from collections.abc import Mapping
from enum import Enum, auto

from python_multipart.multipart import parse_options_header

HEAD_BYTES = 512
"""Number of bytes at the start of a part that are enough to classify it."""

_JSON_TYPES = frozenset({"application/json", "application/x-json"})
# A sender that does not know the type of a part declares one of these.
_FIELD_TYPES = frozenset({"", "text/plain"})
_UNKNOWN_TYPES = _FIELD_TYPES | {"application/octet-stream"}
_JSON_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{\s*[\"}]")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


class PartKind(Enum):
    """Kind of a part: metadata in JSON, audio, a form field with text, or an empty form field."""

    METADATA = auto()
    FILE = auto()
    TEXT_FIELD = auto()
    EMPTY_FIELD = auto()


class PartHeaders:
    """Headers of a part. Values are decoded as Latin-1, names are in lower case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.content_type = headers.get("content-type")
        self.transfer_encoding = headers.get("content-transfer-encoding", "").strip()
        _, options = parse_options_header(headers.get("content-disposition", ""))
        self.name = options.get(b"name", b"").decode("utf-8", "replace")
        self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
        self._media_type = (self.content_type or "").partition(";")[0].strip().lower()

    def declared_kind(self) -> PartKind | None:
        """Returns the kind that the content type determines; None if the bytes determine it."""
        if self._media_type in _JSON_TYPES:
            return PartKind.METADATA
        return None if self._media_type in _UNKNOWN_TYPES else PartKind.FILE

    def kind_of(self, head: bytes, *, has_file: bool) -> PartKind:
        """Returns the kind of a part with these first bytes; `has_file` if a file precedes it."""
        if _JSON_OBJECT.match(head):
            return PartKind.METADATA
        if self.filename:
            return PartKind.FILE
        if not head.strip():
            return PartKind.EMPTY_FIELD
        # The fields of a form have names. Text without a name may be a file of the wrong type.
        is_field = not self._media_type or (self._media_type in _FIELD_TYPES and bool(self.name))
        if not is_field or self.transfer_encoding.lower() == "base64":
            return PartKind.FILE
        return PartKind.TEXT_FIELD if has_file or self._is_text(head) else PartKind.FILE

    def _is_text(self, head: bytes) -> bool:
        # A named field may have another encoding than UTF-8.
        return not _CONTROL.search(head) and (bool(self.name) or _is_utf8(head))


def _is_utf8(head: bytes) -> bool:
    """Returns True if `head` is UTF-8. The last character may be incomplete."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
