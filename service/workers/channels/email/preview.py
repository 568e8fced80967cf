"""Preview of a mail with example values."""

from datetime import UTC, datetime
from typing import Any

from service.domain.message import CallerId
from service.workers.channels.email.mime import Attachment, Mail, build_mail, file_name
from service.workers.channels.email.templates import (
    MailKind,
    MailVariables,
    RenderedMail,
    Templates,
)

_TIME = datetime(2026, 3, 3, 14, 5, 9, tzinfo=UTC)
_BOX: dict[str, Any] = {
    "box_name": "Front desk",
    "mailbox": "100",
    "account_name": "Example Ltd",
    "received": "Tuesday 3 March 2026, 14:05 UTC",
}
_CALLER = CallerId("+44 20 7946 0018", "José <Ñ>")
_EXAMPLES = {
    MailKind.MESSAGE: MailVariables(
        **_BOX,
        received_at=_TIME,
        caller="José <Ñ> (+44 20 7946 0018)",
        caller_name=_CALLER.name,
        caller_number=_CALLER.number,
        length="1:05",
        transcription=(
            "Hello, this is José. I am calling about the delivery on Friday: could it come "
            "before ten? Please call me back, any time after lunch is fine. Thank you!"
        ),
        has_audio=True,
        listen_url="https://voicemail.example.com/inbox#box=BOX&message=MESSAGE",
    ),
    MailKind.FULL: MailVariables(
        **_BOX, received_at=_TIME, message_count=100, max_message_count=100
    ),
    MailKind.CONFIRM: MailVariables(
        **_BOX, received_at=_TIME, confirm_url="https://voicemail.example.com/v2/mail/confirm/TOKEN"
    ),
}


def preview(templates: Templates, kind: MailKind, sender: str) -> tuple[RenderedMail, Mail]:
    """Returns the rendered templates and the encoded mail. Raises TemplatesError."""
    rendered = templates.render(kind, _EXAMPLES[kind])
    audio = Attachment(
        content=b"ID3",
        content_type="audio/mpeg",
        name=file_name(_CALLER, _TIME, "mp3"),
    )
    mail = build_mail(
        sender=sender,
        from_header=None,
        from_domains=(),
        recipient="someone@example.com",
        message_id="preview",
        date=_TIME,
        rendered=rendered,
        attachment=audio if kind is MailKind.MESSAGE else None,
    )
    return rendered, mail
