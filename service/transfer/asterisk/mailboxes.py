"""Mailboxes of `voicemail.conf`, as documents of boxes."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from service.domain.schema import Document
from service.transfer.asterisk.conf import Conf, Entry
from service.transfer.text import split_addresses

_GENERAL, _ZONES = "general", "zonemessages"
_CONTEXT_OPTIONS = frozenset({"directoryintro"})
_TRUE = frozenset({"yes", "true", "y", "t", "1", "on"})
# Messages wait in INBOX and Old. Asterisk limits each folder, a box has one limit for both.
_LIMITED_FOLDERS = 2
_MAX_COUNT = 9999
_MIN_PIN = 4


class ConfiguredMailbox(msgspec.Struct, frozen=True, kw_only=True):
    """Line `number => password,name,email,pager,options` of a context."""

    context: str
    number: str
    password: str = ""
    name: str = ""
    email: str = ""
    pager: str = ""
    options: Mapping[str, str] = {}
    aliases: tuple[str, ...] = ()

    @classmethod
    def parse(cls, context: str, number: str, value: str) -> "ConfiguredMailbox":
        fields = [field.strip() for field in value.split(",", 4)]
        password, name, email, pager, options = (*fields, *[""] * (5 - len(fields)))
        return cls(
            context=context,
            number=number,
            # A dash before the password: the user cannot change it.
            password=password.removeprefix("-"),
            name=name,
            email=email,
            pager=pager,
            options=_parse_options(options),
        )

    def with_password(self, password: str) -> "ConfiguredMailbox":
        return msgspec.structs.replace(self, password=password)


def mailboxes_of(conf: Conf) -> Iterator[ConfiguredMailbox]:
    """Yields the mailboxes of all contexts in their order."""
    alias_section = conf.options(_GENERAL).get("aliasescontext", "")
    aliases = conf.sections.get(alias_section, [])
    for context, entries in conf.sections.items():
        if context not in (_GENERAL, _ZONES, alias_section):
            for number, value in entries:
                # A number with a context is an alias, which has no effect in this section.
                if number.lower() not in _CONTEXT_OPTIONS and "@" not in number:
                    box = ConfiguredMailbox.parse(context, number, value)
                    yield msgspec.structs.replace(box, aliases=_aliases(box, aliases))


class Defaults:
    """Options that a mailbox inherits from `[general]`, and the time zones."""

    def __init__(self, conf: Conf) -> None:
        self._general = conf.options(_GENERAL)
        self._zones = {
            name: value.partition("|")[0].strip() for name, value in conf.options(_ZONES).items()
        }

    @property
    def charset(self) -> str:
        """Charset of caller names that are not UTF-8."""
        return self._general.get("charset", "latin-1")

    def has_password_file(self, box: ConfiguredMailbox) -> bool:
        return self.option(box, "passwordlocation") == "spooldir"

    def option(self, box: ConfiguredMailbox, name: str, default: str = "") -> str:
        return box.options.get(name) or self._general.get(name) or default

    def is_set(self, box: ConfiguredMailbox, name: str, default: str) -> bool:
        return self.option(box, name, default).lower() in _TRUE

    def zone(self, box: ConfiguredMailbox) -> str | None:
        """Returns the zone of the entry of `[zonemessages]` that the option `tz` names."""
        return self._zones.get(self.option(box, "tz").lower())


def document_of(box: ConfiguredMailbox, defaults: Defaults) -> Document:
    """Returns the document of a box. Options without a field of their own are in `asterisk`."""
    # Asterisk treats a user whose password is the number of the box as new.
    is_new = box.password == box.number
    document: dict[str, Any] = {
        "name": box.name or box.number,
        "mailbox": box.number,
        "aliases": list(box.aliases),
        "notify_email_addresses": split_addresses(box.email),
        "include_message_on_notify": defaults.is_set(box, "attach", "yes"),
        "delete_after_notify": _is_true(box.options, "delete", "deletevoicemail"),
        "skip_envelope": not defaults.is_set(box, "envelope", "yes"),
        "is_setup": not is_new,
        "pin": "" if is_new and len(box.password) < _MIN_PIN else box.password,
        "timezone": defaults.zone(box),
        "asterisk": _other_options(box),
        **_limits(defaults.option(box, "maxmsg")),
    }
    return {name: value for name, value in document.items() if value not in ("", None)}


def _parse_options(text: str) -> dict[str, str]:
    options = (option.partition("=") for option in text.split("|"))
    return {name.strip().lower(): value.strip() for name, sign, value in options if sign}


def _aliases(box: ConfiguredMailbox, entries: list[Entry]) -> tuple[str, ...]:
    """Returns the other numbers of a box, from the lines `alias@context => number@context`."""
    address = f"{box.number}@{box.context}"
    numbers = (alias.partition("@")[0] for alias, target in entries if target == address)
    return tuple(dict.fromkeys(number for number in numbers if number not in ("", box.number)))


def _is_true(options: Mapping[str, str], *names: str) -> bool:
    return any(options.get(name, "").lower() in _TRUE for name in names)


def _limits(maxmsg: str) -> Document:
    if not (maxmsg.isascii() and maxmsg.isdecimal()):
        return {}
    if int(maxmsg) == 0:
        return {"announcement_only": True}
    return {"max_message_count": min(int(maxmsg), _MAX_COUNT) * _LIMITED_FOLDERS}


def _other_options(box: ConfiguredMailbox) -> Document:
    """Returns context, pager and options, without passwords of IMAP servers."""
    options = {
        name: value
        for name, value in box.options.items()
        if "password" not in name and "secret" not in name
    }
    other = {"context": box.context, "pager": box.pager, "options": options}
    return {name: value for name, value in other.items() if value}
