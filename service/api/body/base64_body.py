"""Incremental decoder of base64 bodies and parts, which may be `data:` URIs."""

import binascii

from service.domain.errors import Refused

# PyKazoo sends each body as a JSON string, which has quotation marks.
_SKIPPED = b' \t\r\n"'
_DATA_URI = b"data:"
_MAX_URI_HEAD = 256


class MalformedBase64(Refused):
    """The base64 text is invalid; encode the audio again."""


class Base64Decoder:
    """Decodes base64 text in pieces of any size: call `feed` for each, then `finish`.

    Line breaks and quotation marks are skipped; padding is required. For a `data:` URI (RFC 2397),
    `content_type` is its media type after `feed` has decoded its head.
    """

    def __init__(self) -> None:
        self.content_type: str | None = None
        self._text = bytearray()
        self._is_past_head = False
        self._is_padded = False

    def feed(self, piece: bytes) -> bytes:
        self._text += piece.translate(None, _SKIPPED)
        if not self._is_past_head:
            self._read_head()
        return self._decode_groups() if self._is_past_head else b""

    def finish(self) -> bytes:
        """Returns the rest of the bytes. Raises MalformedBase64 when the text is incomplete."""
        if self._text[: len(_DATA_URI)].lower() != _DATA_URI:
            self._is_past_head = True
        rest = self._decode_groups() if self._is_past_head else b""
        if self._text:
            raise MalformedBase64
        return rest

    def _read_head(self) -> None:
        start = bytes(self._text[: len(_DATA_URI)]).lower()
        if start != _DATA_URI:
            self._is_past_head = not _DATA_URI.startswith(start)
            return
        head, comma, _ = bytes(self._text[: _MAX_URI_HEAD + 1]).partition(b",")
        if comma:
            self._parse_head(head[len(_DATA_URI) :])
            del self._text[: len(head) + 1]
        elif len(head) > _MAX_URI_HEAD:
            raise MalformedBase64

    def _parse_head(self, head: bytes) -> None:
        media_type, _, coding = head.rpartition(b";")
        if coding.lower() != b"base64" or not media_type.isascii():
            raise MalformedBase64
        self.content_type = media_type.decode() or None
        self._is_past_head = True

    def _decode_groups(self) -> bytes:
        end = len(self._text) - len(self._text) % 4
        groups = bytes(self._text[:end])
        if not groups:
            return b""
        if self._is_padded:
            raise MalformedBase64
        del self._text[:end]
        self._is_padded = groups.endswith(b"=")
        try:
            return binascii.a2b_base64(groups, strict_mode=True)
        except binascii.Error as error:
            raise MalformedBase64 from error
