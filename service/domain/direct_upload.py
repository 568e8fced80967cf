"""Direct uploads: audio that a client sends to the audio store instead of the service."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from service.domain.message import Audio, MessageId

# Shorter than the smallest age at which the keeper deletes audio without a message.
UPLOAD_LIFETIME = timedelta(minutes=30)


class AudioDeclaration(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of audio that a client will send; `size` in bytes."""

    size: int
    sha256: bytes
    content_type: str


class DirectUpload(msgspec.Struct, frozen=True, kw_only=True):
    """Upload of the audio of a future message. `audio` is as the client has declared it.

    `metadata` has the fields of the message that the client has sent, in the format of its dialect.
    `received_at` is the time of the message unless the client sends another one.
    """

    message_id: MessageId
    received_at: datetime
    audio: Audio
    metadata: dict[str, Any]
    started_at: datetime

    @property
    def expires_at(self) -> datetime:
        return self.started_at + UPLOAD_LIFETIME
