"""Multipart bodies, and the result of reading them."""

from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

from service.api.body.multipart import (
    MalformedBase64,
    MalformedBody,
    MetadataTooLarge,
    MultipartContent,
    PartLimitExceeded,
    TooManyFiles,
    UploadLimits,
    read_multipart,
)

REFUSALS = (MalformedBase64, MalformedBody, MetadataTooLarge, PartLimitExceeded, TooManyFiles)
MIXED = "multipart/mixed; boundary=frontier"
JSON = b'{"data": {"caller_id_number": "+15550100"}}'


class Sink:
    """Sink that stores all bytes."""

    def __init__(self) -> None:
        self.audio = b""

    async def write(self, chunk: bytes) -> None:
        self.audio += chunk


async def pieces_of(body: bytes, cuts: Iterable[int] = ()) -> AsyncIterator[bytes]:
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in pairwise(places):
        yield body[start:end]


async def read(
    body: bytes,
    content_type: str = MIXED,
    *,
    cuts: Iterable[int] = (),
    **limits: int,
) -> tuple[MultipartContent, bytes]:
    sink = Sink()
    received = await read_multipart(
        content_type, pieces_of(body, cuts), sink, UploadLimits(**limits), lambda _size: None
    )
    return received, sink.audio


def part(content: bytes, *headers: str) -> bytes:
    return "".join(f"{header}\r\n" for header in headers).encode() + b"\r\n" + content


def a_body(*parts: bytes, boundary: bytes = b"frontier") -> bytes:
    opened = b"".join(b"--" + boundary + b"\r\n" + each + b"\r\n" for each in parts)
    return opened + b"--" + boundary + b"--\r\n"


METADATA_PART = part(JSON, "Content-Type: application/json")
