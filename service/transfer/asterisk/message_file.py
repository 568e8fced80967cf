"""Files `msgNNNN.txt`: the properties of a message."""

import hashlib
from datetime import datetime

import msgspec

from service.transfer.text import decode, split_caller_id
from service.transfer.times import seconds_of, time_of_epoch

MAX_BYTES = 64 * 1024
# These do not change when Asterisk renumbers a message or moves it to another folder.
_FIXED = ("msg_id", "origtime", "callerid", "callerchan", "origmailbox", "duration")


class MessageFile(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of a message. `duration_s` is None while Asterisk records it."""

    received_at: datetime
    duration_s: int | None
    caller_id_number: str
    caller_id_name: str
    digest: str


class Incomplete(Exception):
    """The file lacks a property. The text is the reason, for the report."""


def parse_message_file(content: bytes, charset: str, audio_size: int) -> MessageFile:
    """Returns the properties in a file.

    `digest` identifies the message within its box. Without `msg_id`, which Asterisk writes since
    version 12, it includes the size of the audio. Raises Incomplete if there is no time.
    """
    values = dict(_values(decode(content, charset)))
    received_at = time_of_epoch(values.get("origtime"))
    if received_at is None:
        raise Incomplete("the text file has no time (origtime)")
    number, name = split_caller_id(values.get("callerid", ""))
    fixed = [values.get(key, "") for key in _FIXED]
    if not values.get("msg_id"):
        fixed.append(str(audio_size))
    return MessageFile(
        received_at=received_at,
        duration_s=seconds_of(values.get("duration")),
        caller_id_number=number,
        caller_id_name=name,
        digest=hashlib.sha256("\0".join(fixed).encode()).hexdigest()[:32],
    )


def _values(text: str) -> list[tuple[str, str]]:
    """Returns names and values of the lines. A semicolon in a value is part of it."""
    # Not `splitlines`: it also splits at bytes that are letters in an old charset.
    lines = (line.strip() for line in text.split("\n"))
    pairs = (line.partition("=") for line in lines if not line.startswith((";", "[")))
    return [
        (name.strip().lower(), value.removeprefix(">").strip())
        for name, sign, value in pairs
        if sign
    ]
