"""Multipart uploads, read as they arrive: one JSON part and one file part, in either order."""

import logging
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

import msgspec
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.api.body.base64_body import Base64Decoder, MalformedBase64
from service.domain.errors import Refused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = [
    "AudioSink",
    "MalformedBase64",
    "MalformedBody",
    "MetadataTooLarge",
    "PartsBeyondBounds",
    "Received",
    "TooManyFiles",
    "UploadLimits",
    "decoder_for",
    "read_multipart",
]

_JSON_TYPES = frozenset({"application/json", "application/x-json"})
_IDENTITY_CODINGS = frozenset({"", "7bit", "8bit", "binary"})
_MOST_HEADERS = 16
# RFC 2046 section 5.1.1: up to 70 characters, the last one no space.
_BOUNDARY = re.compile(rb"[ -~]{0,69}[!-~]")

# The parser would log pieces of what strangers send.
_SILENT = logging.Logger(__name__)
_SILENT.disabled = True


class MalformedBody(Refused):
    """The multipart body cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooManyFiles(Refused):
    """There is more than one file."""


class PartsBeyondBounds(Refused):
    """There are more parts or longer part headers than are taken."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MetadataTooLarge(Refused):
    """The JSON part is larger than what is taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class UploadLimits(msgspec.Struct, frozen=True, kw_only=True):
    max_parts: int = 8
    max_part_header_bytes: int = 8192
    max_metadata_bytes: int = 1_048_576


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """`metadata` is the JSON part as it came; `content_type` and `filename` are the file's."""

    metadata: bytes | None = None
    has_file: bool = False
    content_type: str | None = None
    filename: str | None = None


class AudioSink(Protocol):
    async def write(self, chunk: bytes) -> None: ...


async def read_multipart(
    content_type_header: str,
    body: AsyncIterator[bytes],
    sink: AudioSink,
    limits: UploadLimits,
) -> Received:
    """Read the body to its end; the file's bytes go to the sink as they come.

    A part whose type is JSON is the metadata, any other part is the file; names and order do not
    matter (KAZOO API docs, voicemail messages). Lines end with CRLF. Text before the first boundary
    and after the last one is skipped, each up to the size of a part's headers. What the sink raises
    goes through and comes before anything that is wrong further on in the body.
    """
    boundary = _boundary_of(content_type_header)
    parts = _Parts(limits)
    parser = MultipartParser(
        boundary,
        parts.callbacks(),
        max_header_count=_MOST_HEADERS,
        max_header_size=limits.max_part_header_bytes,
    )
    parser.logger = _SILENT
    start = _Preamble(boundary, limits.max_part_header_bytes)
    async for chunk in body:
        parts.expect(chunk)
        try:
            _parse(parser, start.skip(chunk))
        finally:
            for piece in parts.take_audio():
                await sink.write(piece)
    return parts.received()


def _parse(parser: MultipartParser, chunk: bytes) -> None:
    try:
        parser.write(chunk)
    except MultipartParseError as problem:
        if str(problem).startswith("Maximum header"):
            raise PartsBeyondBounds("a part has too many or too long headers") from problem
        raise MalformedBody("the parts are not as they should be") from problem


def _boundary_of(content_type_header: str) -> bytes:
    try:
        media_type, options = parse_options_header(content_type_header)
    except UnicodeEncodeError as problem:
        raise MalformedBody("the content type is not ASCII") from problem
    boundary = options.get(b"boundary", b"")
    if not media_type.startswith(b"multipart/") or not _BOUNDARY.fullmatch(boundary):
        raise MalformedBody("there is no usable boundary")
    return boundary


class _Preamble:
    """Drops what stands before the first boundary; the parser knows no preamble."""

    def __init__(self, boundary: bytes, limit: int) -> None:
        self._begin = b"--" + boundary
        self._longest = limit + len(boundary) + 4
        # The boundary begins a line, the first one too.
        self._held: bytearray | None = bytearray(b"\n")

    def skip(self, chunk: bytes) -> bytes:
        if self._held is None:
            return chunk
        if len(self._held) == 1 and chunk.startswith(self._begin):
            # Nearly always so, and spares copies of the chunk.
            self._held = None
            return chunk
        self._held += chunk
        line = self._held.find(b"\n" + self._begin, 0, self._longest)
        if line >= 0:
            rest = bytes(self._held[line + 1 :])
            self._held = None
            return rest
        if len(self._held) >= self._longest:
            raise MalformedBody("the body does not begin with its boundary")
        return b""


class _Parts:
    """What the parser's callbacks gather; audio waits here only until the chunk is parsed."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._parts = 0
        self._complete = False
        self._epilogue_bytes = 0
        self._metadata: bytearray | None = None
        self._has_file = False
        self._content_type: str | None = None
        self._filename: str | None = None
        self._audio: list[bytes] = []
        self._begin()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def expect(self, chunk: bytes) -> None:
        """Refuse a body that goes on and on after its last boundary."""
        if self._complete:
            self._epilogue_bytes += len(chunk)
        if self._epilogue_bytes > self._limits.max_part_header_bytes:
            raise MalformedBody("the body goes on after its last boundary")

    def take_audio(self) -> list[bytes]:
        taken, self._audio = self._audio, []
        return taken

    def received(self) -> Received:
        if not self._complete:
            raise MalformedBody("the body ends before its last boundary")
        return Received(
            metadata=None if self._metadata is None else bytes(self._metadata),
            has_file=self._has_file,
            content_type=self._content_type,
            filename=self._filename,
        )

    def _begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._field = bytearray()
        self._value = bytearray()
        self._is_metadata = False
        self._decoder: Base64Decoder | None = None

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise PartsBeyondBounds(f"there are more than {self._limits.max_parts} parts")
        self._begin()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._header_bytes += len(self._field) + len(self._value)
        if self._header_bytes > self._limits.max_part_header_bytes:
            raise PartsBeyondBounds("a part has too many or too long headers")
        name = self._field.decode("latin-1").lower()
        self._headers.setdefault(name, self._value.decode("latin-1").strip())
        self._field, self._value = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        content_type = self._headers.get("content-type")
        self._is_metadata = _bare(content_type or "") in _JSON_TYPES
        self._decoder = decoder_for(self._headers.get("content-transfer-encoding", ""))
        if not self._is_metadata:
            self._begin_file(content_type)
        elif self._metadata is not None:
            raise PartsBeyondBounds("there is more than one JSON part")
        else:
            self._metadata = bytearray()

    def _begin_file(self, content_type: str | None) -> None:
        if self._has_file:
            raise TooManyFiles
        self._has_file = True
        self._content_type = content_type
        self._filename = _filename_in(self._headers.get("content-disposition", ""))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        self._keep(self._decoder.feed(piece) if self._decoder else piece)

    def _on_part_end(self) -> None:
        if self._decoder:
            self._keep(self._decoder.finish())
            if self._decoder.content_type and not self._is_metadata:
                self._content_type = self._decoder.content_type

    def _on_end(self) -> None:
        self._complete = True

    def _keep(self, piece: bytes) -> None:
        if self._metadata is None or not self._is_metadata:
            self._audio.append(piece)
            return
        self._metadata += piece
        if len(self._metadata) > self._limits.max_metadata_bytes:
            raise MetadataTooLarge(self._limits.max_metadata_bytes)


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def decoder_for(transfer_encoding: str) -> Base64Decoder | None:
    """What decodes a `Content-Transfer-Encoding`; None when there is nothing to decode."""
    coding = transfer_encoding.strip().lower()
    if coding == "base64":
        return Base64Decoder()
    if coding not in _IDENTITY_CODINGS:
        raise MalformedBody("the transfer encoding is unknown")
    return None


def _filename_in(disposition: str) -> str | None:
    _, options = parse_options_header(disposition)
    filename = options.get(b"filename", b"").decode("utf-8", "replace")
    return filename or None
