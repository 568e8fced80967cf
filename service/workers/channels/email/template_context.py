"""Values of the template variables of a mail."""

from datetime import datetime
from typing import Any

from service.domain.events import VmboxWasFull
from service.domain.message import ANONYMOUS, Message
from service.domain.transcription import transcript_of
from service.usecases.mail_recipients import MailContext
from service.workers.channels.email.headers import to_single_line
from service.workers.channels.email.templates import MailVariables


def message_variables(
    context: MailContext, message: Message, *, has_audio: bool, listen_url: str
) -> MailVariables:
    """Returns the variables of a mail about a message."""
    zone = context.zone
    number = _clean_caller(message.caller_id.number)
    name = _clean_caller(message.caller_id.name)
    name = "" if name == number else name
    return MailVariables(
        **_box_variables(context, message.received_at.astimezone(zone)),
        caller=_format_caller(name, number),
        caller_name=name,
        caller_number=number,
        length=_format_length(message.length_ms),
        transcription=_transcription_text(context, message),
        has_audio=has_audio,
        listen_url=listen_url,
    )


def full_box_variables(
    context: MailContext, data: VmboxWasFull, full_at: datetime
) -> MailVariables:
    """Returns the variables of a mail about a full box."""
    return MailVariables(
        **_box_variables(context, full_at.astimezone(context.zone)),
        message_count=data.message_count,
        max_message_count=data.max_message_count,
    )


def consent_variables(context: MailContext, confirm_url: str, now: datetime) -> MailVariables:
    """Returns the variables of a mail that asks for consent."""
    return MailVariables(
        **_box_variables(context, now.astimezone(context.zone)), confirm_url=confirm_url
    )


def _box_variables(context: MailContext, local: datetime) -> dict[str, Any]:
    return {
        "box_name": to_single_line(str(context.settings.get("name", ""))),
        "mailbox": to_single_line(str(context.settings.get("mailbox", ""))),
        "account_name": to_single_line(str(context.account.get("name", ""))),
        "received": f"{local:%A} {local.day} {local:%B %Y, %H:%M %Z}",
        "received_at": local,
    }


def _clean_caller(text: str) -> str:
    cleaned = to_single_line(text)
    return "" if cleaned == ANONYMOUS else cleaned


def _format_caller(name: str, number: str) -> str:
    if name and number:
        return f"{name} ({number})"
    return name or number or "an anonymous caller"


def _format_length(length_ms: int) -> str:
    """Formats a length, rounded up to at least 1 second."""
    seconds = max(1, -(-length_ms // 1000))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _transcription_text(context: MailContext, message: Message) -> str | None:
    if not context.includes_transcription:
        return None
    return to_single_line(transcript_of(message.transcription) or "") or None
