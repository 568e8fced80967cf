"""Incremental reader of multipart uploads: a JSON part and a file part, in either order."""

import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Protocol, assert_never

import msgspec
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.api.body.base64_body import Base64Decoder, MalformedBase64
from service.api.body.part_kinds import HEAD_BYTES, PartHeaders, PartKind
from service.domain.errors import ContentEncodingRefused, Refused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = [
    "AudioSink",
    "MalformedBase64",
    "MalformedBody",
    "MetadataTooLarge",
    "MultipartContent",
    "PartLimitExceeded",
    "TooManyFiles",
    "UploadLimits",
    "check_content_encoding",
    "create_decoder",
    "read_multipart",
]

_IDENTITY_CODINGS = frozenset({"", "7bit", "8bit", "binary"})
_MAX_HEADERS = 16
# RFC 2046, section 5.1.1: up to 70 characters, of which the last is not a space.
_BOUNDARY = re.compile(rb"[ -~]{0,69}[!-~]")

# The parser would log parts of the body.
_DISABLED_LOGGER = logging.Logger(__name__)
_DISABLED_LOGGER.disabled = True


class MalformedBody(Refused):
    """The body cannot be parsed; correct it and send it again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooManyFiles(Refused):
    """The body contains more than one file; send one."""


class PartLimitExceeded(Refused):
    """The body has too many parts or too long part headers; send one JSON part and one file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MetadataTooLarge(Refused):
    """The JSON part is too large; send a smaller one."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class UploadLimits(msgspec.Struct, frozen=True, kw_only=True):
    max_parts: int = 8
    max_part_header_bytes: int = 8192
    max_metadata_bytes: int = 1_048_576


class MultipartContent(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of a body: `metadata` is the raw JSON part, the other fields describe the file.

    `ignored_fields` are the names of form fields with text that is neither.
    """

    metadata: bytes | None = None
    ignored_fields: tuple[str, ...] = ()
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
    hold: Callable[[int], None],
) -> MultipartContent:
    """Reads the complete body and writes the file's bytes to the sink as they arrive.

    A part of a JSON type is the metadata; so is a JSON object in a part of unknown type. Text
    without a file name and without another type is a form field, which is ignored. Any other part
    is the file; order and names of fields are ignored (KAZOO API docs, voicemail messages). Lines
    end with CRLF. Text before the first boundary and after the last one is skipped, each up to the
    size of a part's headers. `hold` is called with the size of the metadata as it grows. Raises
    MalformedBody, MalformedBase64, TooManyFiles, PartLimitExceeded, MetadataTooLarge,
    ContentEncodingRefused, and errors of the sink and of `hold`.
    """
    boundary = _boundary_of(content_type_header)
    parts = _PartCollector(limits, hold)
    parser = MultipartParser(
        boundary,
        parts.callbacks(),
        max_header_count=_MAX_HEADERS,
        max_header_size=limits.max_part_header_bytes,
    )
    parser.logger = _DISABLED_LOGGER
    preamble = _PreambleSkipper(boundary, limits.max_part_header_bytes)
    async for chunk in body:
        parts.check_epilogue(chunk)
        try:
            _parse(parser, preamble.skip(chunk))
        finally:
            for piece in parts.take_audio():
                await sink.write(piece)
    return parts.content()


def _parse(parser: MultipartParser, chunk: bytes) -> None:
    try:
        parser.write(chunk)
    except MultipartParseError as error:
        if str(error).startswith("Maximum header"):
            raise PartLimitExceeded("a part has too many or too long headers") from error
        raise MalformedBody("the multipart syntax is invalid") from error


def _boundary_of(content_type_header: str) -> bytes:
    try:
        media_type, options = parse_options_header(content_type_header)
    except UnicodeEncodeError as error:
        raise MalformedBody("the content type is not ASCII") from error
    boundary = options.get(b"boundary", b"")
    if not media_type.startswith(b"multipart/") or not _BOUNDARY.fullmatch(boundary):
        raise MalformedBody("the content type has no valid boundary")
    return boundary


class _PreambleSkipper:
    """Drops the text before the first boundary, which the parser does not support."""

    def __init__(self, boundary: bytes, limit: int) -> None:
        self._delimiter = b"--" + boundary
        self._max_bytes = limit + len(boundary) + 4
        # Text before the delimiter. It begins with a line end, because the delimiter can be the
        # first line of the body. None after the delimiter.
        self._preamble: bytearray | None = bytearray(b"\n")

    def skip(self, chunk: bytes) -> bytes:
        if self._preamble is None:
            return chunk
        if len(self._preamble) == 1 and chunk.startswith(self._delimiter):
            # The usual case, without copies of the chunk.
            self._preamble = None
            return chunk
        self._preamble += chunk
        line = self._preamble.find(b"\n" + self._delimiter, 0, self._max_bytes)
        if line >= 0:
            rest = bytes(self._preamble[line + 1 :])
            self._preamble = None
            return rest
        if len(self._preamble) >= self._max_bytes:
            raise MalformedBody("the body does not start with its boundary")
        return b""


class _PartCollector:
    """Collects the parser's output. Audio is kept only until its chunk is parsed."""

    def __init__(self, limits: UploadLimits, hold: Callable[[int], None]) -> None:
        self._limits = limits
        self._hold = hold
        self._part_count = 0
        self._is_complete = False
        self._epilogue_bytes = 0
        self._metadata: bytearray | None = None
        self._has_empty_fields = False
        self._ignored_fields: list[str] = []
        self._has_file = False
        self._content_type: str | None = None
        self._filename: str | None = None
        self._audio: list[bytes] = []
        self._reset_part()

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

    def check_epilogue(self, chunk: bytes) -> None:
        """Raises MalformedBody for a body with too much text after its last boundary."""
        if self._is_complete:
            self._epilogue_bytes += len(chunk)
        if self._epilogue_bytes > self._limits.max_part_header_bytes:
            raise MalformedBody("the body continues after its last boundary")

    def take_audio(self) -> list[bytes]:
        audio, self._audio = self._audio, []
        return audio

    def content(self) -> MultipartContent:
        if not self._is_complete:
            raise MalformedBody("the body ends before its last boundary")
        has_fields = self._has_empty_fields or bool(self._ignored_fields)
        if has_fields and self._metadata is None and not self._has_file:
            raise MalformedBody("the form has neither a JSON object nor a file; send one of them")
        return MultipartContent(
            metadata=None if self._metadata is None else bytes(self._metadata),
            ignored_fields=tuple(self._ignored_fields),
            has_file=self._has_file,
            content_type=self._content_type,
            filename=self._filename,
        )

    def _reset_part(self) -> None:
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._field = bytearray()
        self._value = bytearray()
        self._part = PartHeaders({})
        # The first bytes of a part of unknown type. None once the kind is known.
        self._head: bytearray | None = None
        self._kind: PartKind | None = None
        self._decoder: Base64Decoder | None = None

    def _on_part_begin(self) -> None:
        self._part_count += 1
        if self._part_count > self._limits.max_parts:
            raise PartLimitExceeded(f"there are more than {self._limits.max_parts} parts")
        self._reset_part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._header_bytes += len(self._field) + len(self._value)
        if self._header_bytes > self._limits.max_part_header_bytes:
            raise PartLimitExceeded("a part has too many or too long headers")
        name = self._field.decode("latin-1").lower()
        self._headers.setdefault(name, self._value.decode("latin-1").strip())
        self._field, self._value = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        check_content_encoding(self._headers.get("content-encoding", ""))
        self._part = PartHeaders(self._headers)
        self._decoder = create_decoder(self._part.transfer_encoding)
        kind = self._part.declared_kind()
        if kind is None:
            self._head = bytearray()
        else:
            self._begin(kind)

    def _begin(self, kind: PartKind) -> None:
        self._kind = kind
        match kind:
            case PartKind.METADATA:
                if self._metadata is not None:
                    raise PartLimitExceeded("there is more than one JSON part")
                self._metadata = bytearray()
            case PartKind.FILE:
                if self._has_file:
                    raise TooManyFiles
                self._has_file = True
                self._content_type = self._part.content_type
                self._filename = self._part.filename or None
            case PartKind.TEXT_FIELD:
                self._ignored_fields.append(self._part.name)
            case PartKind.EMPTY_FIELD:
                self._has_empty_fields = True
            case _:
                assert_never(kind)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        self._append(self._decoder.feed(piece) if self._decoder else piece)

    def _on_part_end(self) -> None:
        if self._decoder:
            self._append(self._decoder.finish())
        if self._head is not None:
            self._classify()
        if self._decoder and self._decoder.content_type and self._kind is PartKind.FILE:
            self._content_type = self._decoder.content_type

    def _on_end(self) -> None:
        self._is_complete = True

    def _append(self, piece: bytes) -> None:
        if self._head is None:
            self._write(piece)
            return
        self._head += piece
        if len(self._head) >= HEAD_BYTES:
            self._classify()

    def _classify(self) -> None:
        head, self._head = bytes(self._head or b""), None
        self._begin(self._part.kind_of(head[:HEAD_BYTES], has_file=self._has_file))
        self._write(head)

    def _write(self, piece: bytes) -> None:
        if self._kind is PartKind.FILE:
            self._audio.append(piece)
        elif self._kind is PartKind.METADATA and self._metadata is not None:
            self._metadata += piece
            if len(self._metadata) > self._limits.max_metadata_bytes:
                raise MetadataTooLarge(self._limits.max_metadata_bytes)
            self._hold(len(self._metadata))


def create_decoder(transfer_encoding: str) -> Base64Decoder | None:
    """Returns the decoder of a `Content-Transfer-Encoding`, None when none is needed.

    Raises MalformedBody.
    """
    coding = transfer_encoding.strip().lower()
    if coding == "base64":
        return Base64Decoder()
    if coding not in _IDENTITY_CODINGS:
        raise MalformedBody("the Content-Transfer-Encoding is unknown; use base64 or binary")
    return None


def check_content_encoding(header: str) -> None:
    """Raises ContentEncodingRefused for a `Content-Encoding` other than `identity`."""
    if header.strip().lower() not in ("", "identity"):
        raise ContentEncodingRefused
