"""Mails that `aftertone dev` keeps as files."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

_NUMBER = re.compile(r"[+(]?\d[\d ()./+-]{2,40}\d")
_MAX_NUMBERS = 1_000


async def delete_mails(
    folder: Path, is_affected: Callable[[str, list[str]], Awaitable[bool]]
) -> AsyncIterator[int]:
    """Deletes the mails for which `is_affected` is true, given their text and the numbers in it.

    Yields 1 for each deleted mail, else 0.
    """
    for path in sorted(folder.glob("*.eml")):  # noqa: ASYNC240 - a folder of a workstation
        text = "\n".join(_texts(path.read_bytes()))
        deleted = await is_affected(text, _NUMBER.findall(text)[:_MAX_NUMBERS])
        if deleted:
            path.unlink(missing_ok=True)
        yield int(deleted)


def _texts(content: bytes) -> Iterator[str]:
    """Yields the decoded headers and text parts of a mail."""
    mail = message_from_bytes(content, _class=EmailMessage, policy=policy.default)
    for part in mail.walk():
        yield from (str(value) for value in part.values())
        if part.get_content_maintype() == "text":
            yield str(part.get_content())
