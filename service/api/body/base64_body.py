"""Base64 as it arrives: bodies and parts that come as base64 text or as a `data:` URI."""

import binascii

from service.domain.errors import Refused

# PyKazoo writes every body as JSON: its text stands in quotation marks.
_SKIPPED = b' \t\r\n"'
_DATA_URI = b"data:"
_LONGEST_URI_HEAD = 256


class MalformedBase64(Refused):
    """The base64 text cannot be decoded."""


class Base64Decoder:
    """Feed it text in pieces of any size, then `finish`. Line breaks and quotation marks are
    skipped, padding is due.

    When the text is a `data:` URI (RFC 2397), `content_type` is what it names, once its head has
    been fed.
    """

    def __init__(self) -> None:
        self.content_type: str | None = None
        self._text = bytearray()
        self._past_head = False
        self._padded = False

    def feed(self, piece: bytes) -> bytes:
        self._text += piece.translate(None, _SKIPPED)
        if not self._past_head:
            self._read_head()
        return self._decode_whole_groups() if self._past_head else b""

    def finish(self) -> bytes:
        """What is left to decode. Raises MalformedBase64 when the text breaks off."""
        if self._text[: len(_DATA_URI)].lower() != _DATA_URI:
            self._past_head = True
        rest = self._decode_whole_groups() if self._past_head else b""
        if self._text:
            raise MalformedBase64
        return rest

    def _read_head(self) -> None:
        start = bytes(self._text[: len(_DATA_URI)]).lower()
        if start != _DATA_URI:
            self._past_head = not _DATA_URI.startswith(start)
            return
        head, comma, _ = bytes(self._text[: _LONGEST_URI_HEAD + 1]).partition(b",")
        if comma:
            self._take_head(head[len(_DATA_URI) :])
            del self._text[: len(head) + 1]
        elif len(head) > _LONGEST_URI_HEAD:
            raise MalformedBase64

    def _take_head(self, head: bytes) -> None:
        media_type, _, coding = head.rpartition(b";")
        if coding.lower() != b"base64" or not media_type.isascii():
            raise MalformedBase64
        self.content_type = media_type.decode() or None
        self._past_head = True

    def _decode_whole_groups(self) -> bytes:
        whole = len(self._text) - len(self._text) % 4
        groups = bytes(self._text[:whole])
        if not groups:
            return b""
        if self._padded:
            raise MalformedBase64
        del self._text[:whole]
        self._padded = groups.endswith(b"=")
        try:
            return binascii.a2b_base64(groups, strict_mode=True)
        except binascii.Error as problem:
            raise MalformedBase64 from problem
