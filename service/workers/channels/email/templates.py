"""Templates of mails: those of this package, or those that an operator put into a folder."""

import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from service.domain.text import strip_control_characters

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_LONGEST_SUBJECT = 250


class TemplatesError(Exception):
    """A template cannot be used; the text says which and why."""


class MailKind(StrEnum):
    """What a mail tells; its templates are `<kind>.subject.txt`, `<kind>.txt`, `<kind>.html`."""

    MESSAGE = "message"
    FULL = "full"


class MailFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What templates may show, free of control characters. Times are the box's local ones.

    `caller` is name and number, or the one that is known, or "an anonymous caller"; the other two
    are empty when unknown. `length` is like `1:05`, `transcription` None when there is none. For
    `full`: how many messages the box holds and may hold, nothing of a message.
    """

    box_name: str
    mailbox: str
    account_name: str
    received: str
    received_at: datetime
    caller: str = ""
    caller_name: str = ""
    caller_number: str = ""
    length: str = ""
    transcription: str | None = None
    has_audio: bool = False
    message_count: int = 0
    max_message_count: int = 0


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A mail's words."""

    subject: str
    text: str
    html: str


class Templates:
    """Renders mails. A file in `folder` replaces the built-in template of its name."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise TemplatesError(f"There is no folder {folder}.")
        built_in = jinja2.PackageLoader("service.workers.channels", "templates")
        own = [jinja2.FileSystemLoader(folder)] if folder is not None else []
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([*own, built_in]),
            autoescape=jinja2.select_autoescape(["html"], default=False),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def render(self, kind: MailKind, facts: MailFacts, subject: str | None = None) -> Rendered:
        """`subject` takes the place of the subject's template; its `{...}` name facts.

        Raises TemplatesError.
        """
        values = msgspec.structs.asdict(facts)
        line = self._one(f"{kind}.subject.txt", values) if subject is None else ""
        return Rendered(
            subject=_one_line(line if subject is None else _filled(subject, values)),
            text=self._one(f"{kind}.txt", values),
            html=self._one(f"{kind}.html", values),
        )

    def _one(self, name: str, values: dict[str, Any]) -> str:
        try:
            return self._environment.get_template(name).render(values)
        except (jinja2.TemplateError, TypeError, ValueError, OSError) as error:
            raise TemplatesError(f"The template {name} fails: {error}") from error


def clean(text: str) -> str:
    """A stranger's text in one line, without what could mislead a reader or a mail program."""
    return strip_control_characters(" ".join(text.split()))


def _filled(subject: str, values: dict[str, Any]) -> str:
    """No template language: the text comes from an account's own document."""

    def fact(match: re.Match[str]) -> str:
        value = values.get(match[1])
        return match[0] if value is None else str(value)

    return _PLACEHOLDER.sub(fact, subject)


def _one_line(subject: str) -> str:
    return clean(subject)[:_LONGEST_SUBJECT]
