"""JSON of the message that a link in a mail opens."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.kazoo.times import gregorian
from service.api.kazoo.wire.types import Count, GregorianSeconds, HexId, MessageIdString
from service.domain.transcription import transcript_of
from service.usecases.mail_links import OpenedMail


class OpenedMessage(msgspec.Struct, kw_only=True):
    """A message that was opened by a link in a mail."""

    account_name: str
    vmbox_id: HexId
    vmbox_name: str
    timezone: Annotated[str, Meta(description="The time zone of the box")]
    media_id: MessageIdString
    timestamp: GregorianSeconds
    length: Annotated[Count, Meta(description="Milliseconds")]
    caller_id_number: str
    caller_id_name: str
    transcription: (
        Annotated[str, Meta(description="Present if mails of the box contain it")] | UnsetType
    ) = UNSET
    url: Annotated[str, Meta(description="Plays the recording without other credentials")]
    expires: Annotated[int, Meta(description="Gregorian seconds at which `url` ends")]


def opened_message(opened: OpenedMail, url: str) -> OpenedMessage:
    """Returns the message of a link in a mail. It contains no more than the mail."""
    message, context = opened.recording.message, opened.context
    text = transcript_of(message.transcription) if context.includes_transcription else None
    return OpenedMessage(
        account_name=opened.caller.account.name,
        vmbox_id=message.vmbox_id.hex,
        vmbox_name=str(context.settings.get("name", "")),
        timezone=str(context.zone),
        media_id=str(message.id),
        timestamp=gregorian(message.received_at),
        length=message.length_ms,
        caller_id_number=message.caller_id.number,
        caller_id_name=message.caller_id.name,
        transcription=text or UNSET,
        url=url,
        expires=gregorian(opened.link.expires_at),
    )
