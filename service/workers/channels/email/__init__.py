"""E-mail channel: mails each new message, with its audio, to the recipients of the box."""

from service.workers.channels.email.channel import EmailChannel, EmailSettings
from service.workers.channels.email.consent import RecipientLinks
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
    "RecipientLinks",
    "RenderedMail",
    "SmtpSender",
    "SmtpServer",
    "Templates",
    "TemplatesError",
    "preview",
]
