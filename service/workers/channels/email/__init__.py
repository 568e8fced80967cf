"""The e-mail channel: a mail for each new message, to whom the box names, with the audio."""

from service.workers.channels.email.channel import EmailChannel
from service.workers.channels.email.preview import preview
from service.workers.channels.email.smtp import SmtpSender, SmtpServer
from service.workers.channels.email.templates import Templates, TemplatesError

__all__ = [
    "EmailChannel",
    "SmtpSender",
    "SmtpServer",
    "Templates",
    "TemplatesError",
    "preview",
]
