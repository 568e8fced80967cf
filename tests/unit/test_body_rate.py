"""End of a body: the last byte of its declared length, or the last message without one."""

from typing import Any
from uuid import uuid4

import pytest

from service.api.middleware.body_rate import (
    BodyRate,
    BodyRateLimits,
    ClientTooSlow,
    content_length_of,
)
from service.usecases.uploads import Uploads

LIMITS = BodyRateLimits(grace_s=0.05, bytes_per_s=1_000_000)
Header = tuple[bytes, bytes]


async def _read(headers: list[Header], *pieces: bytes) -> bytes:
    """Returns the bytes that an application reads from a body without a last message."""
    left = list(pieces)
    body = bytearray()

    async def receive() -> Any:
        if not left:
            raise ClientTooSlow
        return {"type": "http.request", "body": left.pop(0), "more_body": True}

    rate = BodyRate(LIMITS, receive, content_length_of(dict(headers)))
    while not rate.is_complete:
        message: Any = await rate.receive()
        body.extend(message["body"])
    rate.close()
    return bytes(body)


async def test_a_body_with_a_declared_length_is_complete_with_its_last_byte() -> None:
    assert await _read([(b"content-length", b"5")], b"ab", b"cde") == b"abcde"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-length", b"6")],
        [(b"content-length", b"five")],
        [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
    ],
)
async def test_a_body_without_a_usable_length_is_complete_with_the_last_message(
    headers: list[Header],
) -> None:
    with pytest.raises(ClientTooSlow):
        await _read(headers, b"ab", b"cde")


def test_the_minimum_rate_is_four_times_as_high_while_upload_slots_are_scarce() -> None:
    scarce = BodyRateLimits(grace_s=1, bytes_per_s=1000, is_scarce=lambda: True)
    plenty = BodyRateLimits(grace_s=1, bytes_per_s=1000)

    assert plenty.allowed_s(8000) == 9
    assert scarce.allowed_s(8000) == 3


def test_upload_slots_are_scarce_above_three_quarters() -> None:
    uploads = Uploads(4, 4, 1_000_000)
    for _ in range(3):
        uploads.acquire_slot(uuid4())
    assert not uploads.is_scarce

    uploads.acquire_slot(uuid4())

    assert uploads.is_scarce
