"""Source of an import: the tables of mod_voicemail. Each domain becomes an account."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from service.domain.message import Folder
from service.transfer.freeswitch.database import Row
from service.transfer.freeswitch.switch_source import SwitchSource
from service.transfer.source import (
    GreetingKind,
    Skipped,
    SourceAccount,
    SourceBox,
    SourceGreeting,
    SourceMessage,
    SourceUser,
)
from service.transfer.times import length_ms_of, time_of_epoch

_MESSAGES, _PREFERENCES = "voicemail_msgs", "voicemail_prefs"
_MESSAGE_COLUMNS = (
    "uuid",
    "created_epoch",
    "read_epoch",
    "cid_name",
    "cid_number",
    "file_path",
    "message_len",
    "flags",
)
_GREETINGS = {"greeting_path": GreetingKind.UNAVAILABLE, "name_path": GreetingKind.NAME}
_OF_BOX = "WHERE username = $1 AND domain = $2"


class FreeSwitchSource(SwitchSource):
    """Records of mod_voicemail. The folder has the files that the tables name."""

    name = "freeswitch"
    messages_table = _MESSAGES

    async def accounts(self) -> AsyncIterator[SourceAccount | Skipped]:
        await self._tables.require(_MESSAGES, "FreeSWITCH")
        for domain in dict.fromkeys(domain for domain, _ in await self._boxes()):
            yield SourceAccount(key=domain, name=domain, realm=domain)

    async def users(self) -> AsyncIterator[SourceUser | Skipped]:
        """Yields nothing: the users are in the directory of the switch."""
        return
        yield

    async def boxes(self) -> AsyncIterator[SourceBox | Skipped]:
        for domain, username in await self._boxes():
            document: dict[str, Any] = {"name": username, "mailbox": username}
            preferences = await self._preferences(domain, username)
            if preferences.get("password"):
                document["pin"] = str(preferences["password"])
            yield SourceBox(key=_key(domain, username), account_key=domain, document=document)

    async def greetings(self) -> AsyncIterator[SourceGreeting | Skipped]:
        for domain, username in await self._boxes():
            preferences = await self._preferences(domain, username)
            for column, kind in _GREETINGS.items():
                if path := preferences.get(column):
                    key = f"{_key(domain, username)}/{kind}"
                    file = await asyncio.to_thread(self._folder.find_path, str(path))
                    if file is None:
                        yield Skipped(key, f"{column}: no such file in the folder")
                        continue
                    yield SourceGreeting(
                        key=key,
                        account_key=domain,
                        box_key=_key(domain, username),
                        kind=kind,
                        filename=file[-1],
                        open=self._folder.opener(file),
                    )

    async def messages(self) -> AsyncIterator[SourceMessage | Skipped]:
        for domain, username in await self._boxes():
            for row in await self._tables.select(
                _MESSAGES,
                _MESSAGE_COLUMNS,
                f"{_OF_BOX} ORDER BY created_epoch, uuid",
                username,
                domain,
            ):
                yield await asyncio.to_thread(self._message, _key(domain, username), row)

    def _message(self, box_key: str, row: Row) -> SourceMessage | Skipped:
        """Returns a message. Blocks."""
        uuid = str(row["uuid"])
        key = f"{box_key}/{uuid}"
        received_at = time_of_epoch(row["created_epoch"])
        if received_at is None:
            return Skipped(key, "the message has no time (created_epoch)")
        file = self._folder.find_path(str(row["file_path"] or ""))
        if file is None:
            return Skipped(key, "file_path: no such file in the folder")
        return SourceMessage(
            key=key,
            box_key=box_key,
            name=key,
            received_at=received_at,
            length_ms=length_ms_of(row["message_len"]),
            folder=_folder_of(row),
            caller_id_number=str(row["cid_number"] or ""),
            caller_id_name=str(row["cid_name"] or ""),
            # The id of the channel that recorded the message.
            call_id=uuid,
            filename=file[-1],
            open=self._folder.opener(file),
        )

    async def _boxes(self) -> list[tuple[str, str]]:
        """Returns domain and user name of each box that has messages or settings."""
        boxes = set()
        for table in (_MESSAGES, _PREFERENCES):
            for row in await self._tables.select(
                table, ("domain", "username"), "GROUP BY domain, username"
            ):
                boxes.add((str(row["domain"] or ""), str(row["username"] or "")))
        return sorted(boxes)

    async def _preferences(self, domain: str, username: str) -> Row:
        columns = ("password", *_GREETINGS)
        rows = await self._tables.select(_PREFERENCES, columns, _OF_BOX, username, domain)
        return rows[-1] if rows else {}


def _key(domain: str, username: str) -> str:
    return f"{username}@{domain}"


def _folder_of(row: Row) -> Folder:
    """Returns the folder of a message: it is new until it was played."""
    if row["flags"] == "delete":
        return Folder.DELETED
    return Folder.SAVED if str(row["read_epoch"] or "0") != "0" else Folder.NEW
