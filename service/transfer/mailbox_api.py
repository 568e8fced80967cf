"""Live mailbox API (`/voip/mailbox`) as the source of an import.

The API has no accounts and no numbers: all boxes go into the account of `--into`, under the lowest
free numbers. It does not offer the audio of greetings.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec

from service.domain.message import Folder
from service.domain.schema import Document
from service.transfer.http_client import SourceHttp
from service.transfer.source import (
    Skipped,
    SourceAccount,
    SourceBox,
    SourceFailed,
    SourceGreeting,
    SourceMessage,
    SourceUser,
)

_ACCOUNT = "mailboxes"
_LIMIT = 500
_FLAGS = ("beep", "play_caller_id", "play_timestamp", "transcribe")
_FOLDERS = {folder.value: folder for folder in Folder}


class MailboxCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials of the headers `X-Auth-*`. `act_for`: a descendant account to act for."""

    reseller: str
    user: str
    password: str
    act_for: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        headers = {
            "X-Auth-Reseller": self.reseller,
            "X-Auth-User": self.user,
            "X-Auth-Password": self.password,
        }
        return headers if self.act_for is None else {**headers, "X-Auth-For": self.act_for}


class MailboxApiSource:
    """The mailboxes of one account."""

    def __init__(self, url: str, credentials: MailboxCredentials, *, rate: float = 20.0) -> None:
        self.name = f"mailboxes {url.rstrip('/')}"
        self._credentials = credentials
        self._http = SourceHttp(url, self._authenticate, rate)

    async def accounts(self) -> AsyncIterator[SourceAccount | Skipped]:
        name = self._credentials.act_for or self._credentials.reseller
        yield SourceAccount(key=_ACCOUNT, name=name, realm="")

    async def users(self) -> AsyncIterator[SourceUser | Skipped]:
        """Yields nothing: the API has no users."""
        return
        yield

    async def greetings(self) -> AsyncIterator[SourceGreeting | Skipped]:
        for box in await self._list("/voip/mailbox"):
            if box.get("greeting"):
                reason = "the API does not offer the audio of greetings; record it again"
                yield Skipped(f"greeting of {box.get('name')}", reason)

    async def boxes(self) -> AsyncIterator[SourceBox | Skipped]:
        for box in await self._list("/voip/mailbox"):
            recipients = await self._list(f"/voip/mailbox/{quote(str(box['uuid']))}/recipients")
            document: Document = {
                "name": box.get("name"),
                "notify_email_addresses": [each["email"] for each in recipients],
                **{name: box[name] for name in _FLAGS if name in box},
            }
            if box.get("password"):
                document["pin"] = box["password"]
            yield SourceBox(key=_hex(box["uuid"]), account_key=_ACCOUNT, document=document)

    async def messages(self) -> AsyncIterator[SourceMessage | Skipped]:
        for box in await self._list("/voip/mailbox"):
            path = f"/voip/mailbox/{quote(str(box['uuid']))}/messages"
            query: dict[str, str | int] = {"limit": _LIMIT}
            while page := await self._list(path, **query):
                for row in page:
                    yield self._message(_hex(box["uuid"]), path, row)
                query["before"] = str(page[-1]["uuid"])

    async def count_messages(self) -> int | None:
        """Returns None: the API has no counts."""
        return None

    async def close(self) -> None:
        await self._http.close()

    async def _authenticate(self, is_rejected: bool) -> Mapping[str, str]:
        if is_rejected:
            raise SourceFailed(f"{self._http.base_url} rejects the credentials.")
        return self._credentials.headers

    async def _list(self, path: str, **query: str | int) -> list[Document]:
        answer = await self._http.get(path, **query)
        body = answer.body if isinstance(answer.body, dict) else {}
        if answer.status != HTTPStatus.OK or not isinstance(body.get("result"), list):
            raise SourceFailed(f"{path} cannot be listed: status {answer.status}.")
        rows: list[Document] = body["result"]
        return rows

    def _message(self, box_key: str, path: str, row: Document) -> SourceMessage | Skipped:
        key, received_at = str(row.get("uuid")), _time_of(row.get("created_on"))
        if received_at is None:
            return Skipped(f"{box_key}/{key}", "it has no time")
        text = row.get("transcription")
        transcription = {"result": "success", "text": text} if isinstance(text, str) else None
        return SourceMessage(
            key=key,
            box_key=box_key,
            received_at=received_at,
            folder=_FOLDERS.get(str(row.get("folder")), Folder.NEW),
            caller_id_number=str(row.get("caller_id_number") or ""),
            caller_id_name=str(row.get("caller_id_name") or ""),
            transcription=transcription,
            open=partial(self._http.audio, f"{path}/{quote(key)}/audio"),
        )


def _hex(uuid: Any) -> str:
    try:
        return UUID(str(uuid)).hex
    except ValueError:
        return str(uuid)


def _time_of(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except ValueError:
        return None
