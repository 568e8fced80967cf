"""The e-mail channel: a mail for each new message, to whom the box names, with the audio."""

from service.workers.channels.email.channel import EmailChannel, EmailSettings
from service.workers.channels.email.mime import InvalidAddress, Mail
from service.workers.channels.email.preview import preview
from service.workers.channels.email.smtp import SmtpSender, SmtpServer
from service.workers.channels.email.templates import (
    MailKind,
    RenderedMail,
    Templates,
    TemplatesError,
)

__all__ = [
    "EmailChannel",
    "EmailSettings",
    "InvalidAddress",
    "Mail",
    "MailKind",
    "RenderedMail",
    "SmtpSender",
    "SmtpServer",
    "Templates",
    "TemplatesError",
    "preview",
]
