"""Mail templates: the built-in ones, or those in the folder of an operator."""

import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from service.workers.channels.email.headers import to_single_line

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class TemplatesError(Exception):
    """A template is invalid. The text names it and the reason."""


class MailKind(StrEnum):
    """Kind of mail. Its templates are `<kind>.subject.txt`, `<kind>.txt`, `<kind>.html`."""

    MESSAGE = "message"
    FULL = "full"
    CONFIRM = "confirm"


class MailVariables(msgspec.Struct, frozen=True, kw_only=True):
    """Template variables, without control characters. Times are in the time zone of the box.

    `caller` is name and number, or one of them, or "an anonymous caller"; an unknown `caller_name`
    or `caller_number` is empty. `length` is like `1:05`. The kind `full` has the counts only,
    the kind `confirm` has `confirm_url` only. `listen_url` opens the message in the web inbox.
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
    listen_url: str = ""
    message_count: int = 0
    max_message_count: int = 0
    confirm_url: str = ""


class RenderedMail(msgspec.Struct, frozen=True, kw_only=True):
    """Result of the templates of a mail."""

    subject: str
    text: str
    html: str


class Templates:
    """Renders mails. A file in `folder` replaces the built-in template with the same name."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise TemplatesError(f"The folder {folder} does not exist.")
        built_in = jinja2.PackageLoader("service.workers.channels", "templates")
        custom = [jinja2.FileSystemLoader(folder)] if folder is not None else []
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([*custom, built_in]),
            autoescape=jinja2.select_autoescape(["html"], default=False),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def render(
        self, kind: MailKind, variables: MailVariables, subject: str | None = None
    ) -> RenderedMail:
        """Renders a mail. `subject` replaces the subject template and may contain `{variable}`.

        Raises TemplatesError.
        """
        values = msgspec.structs.asdict(variables)
        if subject is None:
            subject_line = self._render_template(f"{kind}.subject.txt", values)
        else:
            subject_line = _fill_placeholders(subject, values)
        return RenderedMail(
            subject=to_single_line(subject_line),
            text=self._render_template(f"{kind}.txt", values),
            html=self._render_template(f"{kind}.html", values),
        )

    def _render_template(self, name: str, values: dict[str, Any]) -> str:
        try:
            return self._environment.get_template(name).render(values)
        except (jinja2.TemplateError, TypeError, ValueError, OSError) as error:
            raise TemplatesError(f"The template {name} is invalid: {error}") from error


def _fill_placeholders(subject: str, values: dict[str, Any]) -> str:
    """Replaces `{variable}`. The text is untrusted, so no template engine is used."""

    def replace(match: re.Match[str]) -> str:
        value = values.get(match[1])
        return match[0] if value is None else str(value)

    return _PLACEHOLDER.sub(replace, subject)
