"""What a mail tells: from an event and a message to the words that templates show."""

from datetime import datetime
from typing import Any

from service.domain.events import VmboxWasFull
from service.domain.message import ANONYMOUS, Message
from service.domain.transcription import transcript_of
from service.workers.channels.email.recipients import MailContext
from service.workers.channels.email.templates import MailFacts, clean


def message_facts(context: MailContext, message: Message, *, has_audio: bool) -> MailFacts:
    """What a mail about a message shows; the transcription only where the box wants it."""
    zone = context.zone
    number = _told(message.caller_id.number)
    name = _told(message.caller_id.name)
    name = "" if name == number else name
    return MailFacts(
        **_of_box(context, message.received_at.astimezone(zone)),
        caller=_caller(name, number),
        caller_name=name,
        caller_number=number,
        length=_length(message.length_ms),
        transcription=_transcription(context, message),
        has_audio=has_audio,
    )


def full_facts(context: MailContext, data: VmboxWasFull, when: datetime) -> MailFacts:
    """What a mail about a full box shows."""
    return MailFacts(
        **_of_box(context, when.astimezone(context.zone)),
        message_count=data.message_count,
        max_message_count=data.max_message_count,
    )


def wants_transcription(context: MailContext) -> bool:
    return context.settings.get("include_transcription_on_notify") is not False


def _of_box(context: MailContext, local: datetime) -> dict[str, Any]:
    return {
        "box_name": clean(str(context.settings.get("name", ""))),
        "mailbox": clean(str(context.settings.get("mailbox", ""))),
        "account_name": clean(str(context.account.get("name", ""))),
        "received": f"{local:%A} {local.day} {local:%B %Y, %H:%M %Z}",
        "received_at": local,
    }


def _told(text: str) -> str:
    told = clean(text)
    return "" if told == ANONYMOUS else told


def _caller(name: str, number: str) -> str:
    if name and number:
        return f"{name} ({number})"
    return name or number or "an anonymous caller"


def _length(length_ms: int) -> str:
    """Begun seconds: nobody left a message of 0:00."""
    seconds = max(1, -(-length_ms // 1000))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _transcription(context: MailContext, message: Message) -> str | None:
    if not wants_transcription(context):
        return None
    return clean(transcript_of(message.transcription) or "") or None
