"""MIME encoding of a mail: headers, text, HTML, attachment. Safe for untrusted caller names."""

import re
import unicodedata
from collections.abc import Collection
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import msgspec

from service.domain.formats import split_address, split_sender
from service.domain.message import ANONYMOUS, CallerId
from service.domain.text import strip_control_characters
from service.workers.channels.email.headers import EncodedHeader, to_single_line
from service.workers.channels.email.templates import RenderedMail

# 7bit works with servers without 8BITMIME, and no server encodes it again.
_POLICY = SMTP.clone(cte_type="7bit")
_MAX_STEM_CHARS = 40
_UNKNOWN_NAMES = frozenset({ANONYMOUS, "unknown"})
_MAX_ATTACHMENT_NAME_CHARS = 100

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_CONTENT_TYPE = re.compile(r"(audio|video)/([A-Za-z0-9][A-Za-z0-9.+-]{0,63})(?=\s*(?:;|$))")


class InvalidAddress(Exception):
    """The text is not a valid e-mail address."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """File to attach, unchanged."""

    content: bytes
    content_type: str
    name: str


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """Encoded mail. `utf8` means that the server must support SMTPUTF8."""

    sender: str
    recipient: str
    content: bytes
    utf8: bool


def build_mail(
    *,
    sender: str,
    from_header: str | None,
    from_domains: Collection[str],
    recipient: str,
    message_id: str,
    date: datetime,
    rendered: RenderedMail,
    attachment: Attachment | None,
    unsubscribe_url: str | None = None,
) -> Mail:
    """Builds a mail. The same input gives the same bytes.

    `sender` (`Name <address>`) is the envelope sender and the default for the header From. The
    address of `from_header` is used as From in `from_domains` only, otherwise as Reply-To. Raises
    InvalidAddress for an invalid recipient.
    """
    to = address_of(recipient)
    utf8 = not to.addr_spec.isascii()
    message = EmailMessage(policy=_POLICY.clone(utf8=True) if utf8 else _POLICY)
    envelope = _parse_sender(sender)
    author = _parse_from_header(from_header) or envelope
    is_permitted = author.domain.lower() in from_domains
    _add_address(message, "From", author if is_permitted else envelope)
    if not is_permitted and author is not envelope:
        _add_address(message, "Reply-To", author)
    _add_address(message, "To", to)
    message["Subject"] = EncodedHeader.untrusted("Subject", rendered.subject)
    message["Date"] = format_datetime(date.astimezone(UTC))
    message["Message-ID"] = f"<{message_id}@{envelope.domain}>"
    # RFC 3834 and, for Exchange, MS-OXCMAIL: both suppress out-of-office replies.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    if unsubscribe_url is not None:
        # RFC 8058: one click in the mail client, without opening the page.
        for name, value in (
            ("List-Unsubscribe", f"<{unsubscribe_url}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ):
            message[name] = EncodedHeader.trusted(name, value)
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    if attachment is not None:
        _attach(message, attachment)
    # A random boundary would change the mail with every attempt.
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{message_id}_{number}")
    return Mail(
        sender=envelope.addr_spec,
        recipient=to.addr_spec,
        content=message.as_bytes(),
        utf8=utf8,
    )


def address_of(text: str) -> Address:
    """Parses an address and encodes its domain in ASCII. Raises InvalidAddress."""
    parts = split_address(text)
    if parts is None:
        raise InvalidAddress("invalid e-mail address")
    return Address(username=parts[0], domain=parts[1])


def file_name(caller: CallerId, received_at: datetime, extension: str) -> str:
    """Returns a name like `jose_n_2026-03-03_14-05-09.mp3`, valid on every file system.

    It begins with the name of the caller, or with the number if the name is unknown.
    """
    name = "" if caller.name.strip().lower() in _UNKNOWN_NAMES else caller.name
    stem = _stem(name) or _stem(caller.number) or "message"
    return f"{stem}_{received_at:%Y-%m-%d_%H-%M-%S}.{extension}"


def _stem(text: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9+]+", "_", ascii_only.lower()).strip("_")[:_MAX_STEM_CHARS]


def _attach(message: EmailMessage, attachment: Attachment) -> None:
    """Attaches a file under a name of safe ASCII characters only."""
    content_type = _CONTENT_TYPE.match(attachment.content_type)
    maintype, subtype = content_type.groups() if content_type else ("application", "octet-stream")
    name = re.sub(r"[^A-Za-z0-9+._-]+", "_", attachment.name).lstrip(".") or "attachment"
    message.add_attachment(attachment.content, maintype=maintype, subtype=subtype)
    *_, part = message.iter_attachments()
    del part["Content-Disposition"]
    part["Content-Disposition"] = EncodedHeader.untrusted(
        "Content-Disposition", f'attachment; filename="{name[:_MAX_ATTACHMENT_NAME_CHARS]}"'
    )


def _add_address(message: EmailMessage, name: str, address: Address) -> None:
    message[name] = EncodedHeader.address(name, address.display_name, address.addr_spec)


def _parse_sender(text: str) -> Address:
    """Parses `address`, `Name <address>` or `"Name" <address>`. Raises InvalidAddress."""
    parts = split_sender(text)
    if parts is None:
        raise InvalidAddress("invalid e-mail address")
    name, address = parts
    parsed = address_of(address)
    quoted = _QUOTED.fullmatch(name)
    display_name = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else name
    return Address(
        display_name=to_single_line(display_name), username=parsed.username, domain=parsed.domain
    )


def _parse_from_header(text: str | None) -> Address | None:
    """Returns None for a missing or invalid sender."""
    if text is None or strip_control_characters(text) != text:
        return None
    try:
        sender = _parse_sender(text)
    except InvalidAddress:
        return None
    return sender if sender.addr_spec.isascii() else None
