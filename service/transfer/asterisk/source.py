"""Source of an import: the voicemail spool of Asterisk and its `voicemail.conf`.

Each context becomes an account. A mailbox that is only in the spool is imported too, with its
number as its name: Asterisk may have its settings in a database.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

from service.domain.schema import Document
from service.transfer.asterisk import spool
from service.transfer.asterisk.conf import Conf, read_conf
from service.transfer.asterisk.mailboxes import (
    ConfiguredMailbox,
    Defaults,
    document_of,
    mailboxes_of,
)
from service.transfer.asterisk.reader import SpoolReader
from service.transfer.asterisk.spool import GREETINGS
from service.transfer.files import printable_path
from service.transfer.source import (
    Skipped,
    SourceAccount,
    SourceBox,
    SourceGreeting,
    SourceMessage,
    SourceUser,
)
from service.transfer.text import decode

_PASSWORD = re.compile(r"^\s*password\s*=>?\s*(\S+)", re.MULTILINE)
_NOT_IN_REALM = re.compile(r"[^a-z0-9.-]+")


class AsteriskSource:
    """Records of a spool. The realm of an account is `context.realm`."""

    def __init__(self, root: Path, conf: Path | None, realm: str) -> None:
        """Reads the configuration and lists the mailboxes. Blocks. Raises SourceFailed."""
        self._root = root
        self._realm = realm
        content = Conf({}, []) if conf is None else read_conf(conf)
        self._defaults = Defaults(content)
        self._reader = SpoolReader(root, self._defaults.charset)
        self._boxes, self._skipped = _boxes(root, content)

    @property
    def name(self) -> str:
        return f"asterisk:{self._realm}"

    async def close(self) -> None:
        """Does nothing: no file stays open."""

    async def count_messages(self) -> int | None:
        return await asyncio.to_thread(spool.count_messages, self._root)

    async def accounts(self) -> AsyncIterator[SourceAccount | Skipped]:
        for context in dict.fromkeys(box.context for box in self._boxes):
            label = _NOT_IN_REALM.sub("-", printable_path(context).lower()).strip("-.") or "context"
            realm = f"{label}.{self._realm}"
            yield SourceAccount(key=printable_path(context), name=realm, realm=realm)

    async def users(self) -> AsyncIterator[SourceUser | Skipped]:
        """Yields nothing: a user of Asterisk is a mailbox."""
        return
        yield

    async def boxes(self) -> AsyncIterator[SourceBox | Skipped]:
        for skipped in self._skipped:
            yield skipped
        for box in self._boxes:
            document = await asyncio.to_thread(self._document, box)
            yield SourceBox(
                key=_key(box), account_key=printable_path(box.context), document=document
            )

    async def greetings(self) -> AsyncIterator[SourceGreeting | Skipped]:
        for box in self._boxes:
            for recording in await asyncio.to_thread(self._greetings, box):
                if isinstance(recording, Skipped):
                    yield recording
                    continue
                audio = recording.audio[0]
                yield SourceGreeting(
                    key=printable_path(*recording.names),
                    account_key=printable_path(box.context),
                    box_key=_key(box),
                    kind=GREETINGS[recording.names[-1]],
                    filename=self._reader.filename(audio),
                    open=self._reader.opener(recording),
                )

    async def messages(self) -> AsyncIterator[SourceMessage | Skipped]:
        for box in self._boxes:
            async for message in self._reader.messages(box.context, box.number, _key(box)):
                yield message

    def _greetings(self, box: ConfiguredMailbox) -> list[spool.SpoolRecording | Skipped]:
        return list(spool.greetings_of(self._root, box.context, box.number))

    def _document(self, box: ConfiguredMailbox) -> Document:
        return document_of(self._with_password(box), self._defaults)

    def _with_password(self, box: ConfiguredMailbox) -> ConfiguredMailbox:
        """Returns the mailbox with the password of the file in its folder, if that is in use."""
        if not self._defaults.has_password_file(box):
            return box
        content = spool.read_password_file(self._root, box.context, box.number)
        match = _PASSWORD.search(decode(content))
        return box.with_password(match[1]) if match else box


def _key(box: ConfiguredMailbox) -> str:
    return printable_path(box.context, box.number)


def _boxes(root: Path, conf: Conf) -> tuple[list[ConfiguredMailbox], list[Skipped]]:
    """Returns the mailboxes of the configuration and the other ones of the spool."""
    in_spool, skipped = spool.boxes_of(root)
    boxes: dict[tuple[str, str], ConfiguredMailbox] = {}
    repeated: list[Skipped] = []
    unlisted = (ConfiguredMailbox(context=context, number=number) for context, number in in_spool)
    for box in mailboxes_of(conf):
        # Asterisk uses the first line of a number.
        if boxes.setdefault((box.context, box.number), box) is not box:
            repeated.append(Skipped(_key(box), "the number occurs twice in the configuration"))
    for box in unlisted:
        boxes.setdefault((box.context, box.number), box)
    return list(boxes.values()), [*conf.skipped, *repeated, *skipped]
