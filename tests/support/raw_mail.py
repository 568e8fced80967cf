"""Second parser of mails, independent of the email package except for encoded words."""

import re
from email.header import decode_header

import msgspec

_FIELD = re.compile(rb"([!-9;-~]+):[ \t]?(.*)", re.DOTALL)


class RawPart(msgspec.Struct, frozen=True):
    """Header fields in order, unfolded but not decoded, and the bytes of the body."""

    fields: list[tuple[str, str]]
    body: bytes

    @property
    def names(self) -> list[str]:
        return [name.lower() for name, _ in self.fields]

    def __getitem__(self, name: str) -> str:
        [value] = [value for field, value in self.fields if field.lower() == name.lower()]
        return value


def split_mail(content: bytes) -> RawPart:
    """Splits a mail or a part of one. Raises ValueError for bytes that RFC 5322 forbids."""
    head, blank, body = content.partition(b"\r\n\r\n")
    if not blank:
        raise ValueError("the blank line after the header is missing")
    lines = head.split(b"\r\n")
    for line in lines:
        if len(line) > 998 or re.search(rb"[^\t -~]", line):
            raise ValueError(f"forbidden line in the header: {line!r}")
    unfolded = re.sub(rb"\r\n(?=[ \t])", b"", head).split(b"\r\n")
    matches = [_FIELD.fullmatch(line) for line in unfolded]
    if not all(matches):
        raise ValueError(f"a line of the header is not a field: {unfolded!r}")
    return RawPart([(m[1].decode(), m[2].decode()) for m in matches if m], body)


def parts_of(mail: RawPart) -> list[RawPart]:
    """Returns all parts that are not multipart, at every depth."""
    boundary = re.search(r'boundary="([^"]+)"', mail["Content-Type"])
    if boundary is None:
        return [mail]
    sections = mail.body.split(f"--{boundary[1]}".encode())[1:-1]
    return [part for section in sections for part in parts_of(split_mail(section.lstrip(b"\r\n")))]


def decoded(value: str) -> str:
    """Decodes the encoded words of a header value."""
    return "".join(
        text.decode(charset or "ascii") if isinstance(text, bytes) else text
        for text, charset in decode_header(value)
    )
