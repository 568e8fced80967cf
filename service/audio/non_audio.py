"""Recognition of files that are not audio: by a signature, or because they are text."""

import codecs
import re

_SIGNATURES = (
    # Archives and compressed files.
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b\x08",
    b"\xfd7zXZ\0",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\x28\xb5\x2f\xfd",
    # Documents.
    b"%PDF-",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"SQLite format 3\0",
    # Executables.
    b"\x7fELF",
    b"\xca\xfe\xba\xbe",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\0asm",
    # Images and video.
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF8",
    b"FLV\x01",
    b"\0\0\x01\xba",
)
_PATTERN = re.compile(
    # Two or three letters alone may also begin raw audio.
    rb"BZh[1-9]1AY&SY|MZ.{58,1000}PE\0\0"
    rb"|RIFF....(?:AVI |WEBP)|....ftyp(?:hei[cfsx]|mif1|msf1|avi[fs])|.{257}ustar"
    rb"|(?:\xef\xbb\xbf)?\s*<(?:!doctype|!--|\?xml|html|head|body|script|svg)\b",
    re.DOTALL | re.IGNORECASE,
)
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
# Raw A-law silence is a sequence of one letter, and a few bytes have no certain kind.
_MIN_TEXT_BYTES = 8
_MIN_DISTINCT_BYTES = 4


def is_clearly_not_audio(head: bytes) -> bool:
    """Returns True if a file with these first bytes is clearly not audio."""
    return head.startswith(_SIGNATURES) or _PATTERN.match(head) is not None or _is_text(head)


def _is_text(head: bytes) -> bool:
    if len(head) < _MIN_TEXT_BYTES or len(set(head)) < _MIN_DISTINCT_BYTES:
        return False
    encoding = "utf-16" if head.startswith(_UTF16_MARKS) else "utf-8"
    try:
        # Not final: the last character may be incomplete.
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(text) is None
