"""Requests as bytes: what the load generator sends to the service and to S3."""

import random
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from tests.support.audio_samples import an_mp3

Item = TypeVar("Item")

AUDIO_BYTES = 65_536
_BOUNDARY = "bench-5c1d9a70e4"
_MESSAGE = {"caller_id_name": "Ann", "caller_id_number": "1001", "from": "1001", "to": "2000"}


def some_audio() -> bytes:
    """Returns an MP3 of 64 kB. It is sent without a length, so the service measures it."""
    tone = an_mp3()
    return (tone * (AUDIO_BYTES // len(tone) + 1))[:AUDIO_BYTES]


def head(method: str, target: str, host: str, length: int = 0, **headers: str) -> bytes:
    """A request up to its body; `content_type` writes `Content-Type`."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode()


def json_body(**data: str) -> bytes:
    """An envelope."""
    return msgspec.json.encode({"data": data})


MULTIPART_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"
MESSAGE_BODY = json_body(**_MESSAGE)


def multipart_body() -> bytes:
    """A message with its audio, in the form that curl sends."""
    parts = (
        ("message.json", "application/json", MESSAGE_BODY),
        ("voice.mp3", "audio/mpeg", some_audio()),
    )
    body = bytearray()
    for name, content_type, content in parts:
        body += (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="content"; filename="{name}"'
            f"\r\nContent-Type: {content_type}\r\n\r\n"
        ).encode()
        body += content + b"\r\n"
    return bytes(body + f"--{_BOUNDARY}--\r\n".encode())


def shuffled(items: Sequence[Item], clients: int) -> list[list[Item]]:
    """Returns all items for each client, in an order of its own that is the same in every run."""
    return [random.Random(client).sample(items, len(items)) for client in range(clients)]


def dealt(items: Sequence[Item], clients: int) -> list[list[Item]]:
    """Divides the items among the clients."""
    mixed = random.Random(0).sample(items, len(items))
    return [mixed[client::clients] for client in range(clients)]
