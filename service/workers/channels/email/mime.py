"""A mail as bytes: headers that no caller's name can break, text, HTML, the audio as it is."""

import re
import unicodedata
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

import msgspec

from service.domain.text import strip_control_characters
from service.workers.channels.email.templates import Rendered

# 7bit: no server needs 8BITMIME, and what is signed or counted on the way stays as it is.
_POLICY = SMTP.clone(cte_type="7bit")
_LONGEST_STEM = 40
# RFC 5322 dot-atom with RFC 6531's other letters; quoted local parts are mailed to by nobody.
_ATOM = r"[^\x00-\x20\x7f()<>\[\]:;@\\,.\"\s]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")


class AddressUnusable(Exception):
    """It is no address that mail can be sent to."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file, byte for byte."""

    content: bytes
    content_type: str
    name: str


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail ready to go. `utf8`: only for servers that know SMTPUTF8."""

    sender: str
    recipient: str
    content: bytes
    utf8: bool


def build_mail(
    *,
    sender: str,
    shown_sender: str | None,
    recipient: str,
    message_id: str,
    date: datetime,
    words: Rendered,
    attachment: Attachment | None,
) -> Mail:
    """`sender` is the deployment's (`Name <address>`) and gets bounces; `shown_sender` the From.

    The same input gives the same Message-ID. Raises AddressUnusable for the recipient.
    """
    to = address_of(recipient)
    utf8 = not to.addr_spec.isascii()
    message = EmailMessage(policy=_POLICY.clone(utf8=True) if utf8 else _POLICY)
    envelope = _sender(sender)
    message["From"] = _shown(shown_sender) or envelope
    message["To"] = to
    message["Subject"] = words.subject
    message["Date"] = format_datetime(date.astimezone(UTC))
    message["Message-ID"] = f"<{message_id}@{envelope.domain}>"
    # RFC 3834: no out-of-office answers to this.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(words.text)
    message.add_alternative(words.html, subtype="html")
    if attachment is not None:
        _attach(message, attachment)
    # A boundary of random digits would make each attempt another mail.
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{message_id}_{number}")
    return Mail(
        sender=envelope.addr_spec,
        recipient=to.addr_spec,
        content=message.as_bytes(),
        utf8=utf8,
    )


def address_of(text: str) -> Address:
    """The address, its domain in ASCII. Raises AddressUnusable."""
    local, _, domain = text.rpartition("@")
    try:
        spelled = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError as error:
        raise AddressUnusable("it is no e-mail address") from error
    usable = (
        _LOCAL.fullmatch(local)
        and strip_control_characters(local) == local
        and _DOMAIN.fullmatch(spelled)
    )
    if not usable:
        raise AddressUnusable("it is no e-mail address")
    return Address(username=local, domain=spelled)


def file_name(caller: str, received_at: datetime, extension: str) -> str:
    """`jose_n_2026-03-03_14-05-09.mp3`: letters that every file system takes."""
    ascii_only = unicodedata.normalize("NFKD", caller).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^a-z0-9+]+", "_", ascii_only.lower()).strip("_")[:_LONGEST_STEM]
    return f"{stem or 'message'}_{received_at:%Y-%m-%d_%H-%M-%S}.{extension}"


def _attach(message: EmailMessage, attachment: Attachment) -> None:
    maintype, _, subtype = attachment.content_type.partition(";")[0].strip().partition("/")
    message.add_attachment(
        attachment.content,
        maintype=maintype or "application",
        subtype=subtype or "octet-stream",
        filename=attachment.name,
    )


def _sender(text: str) -> Address:
    name, address = parseaddr(text)
    found = address_of(address)
    return Address(
        display_name=strip_control_characters(name), username=found.username, domain=found.domain
    )


def _shown(text: str | None) -> Address | None:
    """An account's sender; one that is unusable is as good as none."""
    if text is None or strip_control_characters(text) != text:
        return None
    try:
        sender = _sender(text)
    except AddressUnusable:
        return None
    return sender if sender.addr_spec.isascii() else None
