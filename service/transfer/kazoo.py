"""Live KAZOO as the source of an import: its voicemail through its own API."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec

from service.domain.clock import utc_now
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

_GREGORIAN = 62_167_219_200
# A list of KAZOO with a start and an end covers at most 31 days and an hour.
_WINDOW = timedelta(days=31)
_EMPTY_WINDOWS = 13
_PAGE = 100
_FUTURE = timedelta(days=1)
# Keys that KAZOO adds to documents.
_SERVER_KEYS = frozenset({"id", "_read_only", "messages", "folders", "metadata"})
_FOLDERS = {folder.value: folder for folder in Folder}


class KazooCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """API key of an account, or a user with the realm of its account."""

    api_key: str | None = None
    username: str | None = None
    password: str | None = None
    realm: str | None = None

    def sign_in(self) -> tuple[str, dict[str, str]]:
        """Returns path and data of the request for a token."""
        if self.api_key is not None:
            return "/api_auth", {"api_key": self.api_key}
        clear = f"{self.username}:{self.password}".encode()
        digest = hashlib.md5(clear, usedforsecurity=False).hexdigest()
        return "/user_auth", {"credentials": digest, "account_realm": self.realm or ""}


class KazooSource:
    """The account of the credentials and all accounts below it.

    Messages are listed for each account in windows of 31 days, the newest first. The list ends at
    `since`, or after 13 windows without messages.
    """

    def __init__(
        self,
        url: str,
        credentials: KazooCredentials,
        *,
        since: datetime | None = None,
        rate: float = 20.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        base = url.rstrip("/").removesuffix("/v2")
        self.name = f"kazoo {base}"
        self._http = SourceHttp(f"{base}/v2", self._authenticate, rate)
        self._credentials = credentials
        self._since = since
        self._clock = clock
        self._token: str | None = None
        self._account_id = ""

    async def accounts(self) -> AsyncIterator[SourceAccount | Skipped]:
        async for account_id, parent_id in self._tree():
            document = await self._document(_account(account_id))
            if isinstance(document, Skipped):
                yield document
                continue
            yield SourceAccount(
                key=account_id,
                name=str(document.get("name", account_id)),
                realm=str(document.get("realm", "")),
                parent_key=parent_id,
                document=document,
            )

    async def users(self) -> AsyncIterator[SourceUser | Skipped]:
        async for account_id, key, document in self._documents("users"):
            if isinstance(document, Skipped):
                yield document
            else:
                document.pop("password", None)
                yield SourceUser(key=key, account_key=account_id, document=document)

    async def boxes(self) -> AsyncIterator[SourceBox | Skipped]:
        async for account_id, key, document in self._documents("vmboxes"):
            if isinstance(document, Skipped):
                yield document
            else:
                yield SourceBox(key=key, account_key=account_id, document=document)

    async def greetings(self) -> AsyncIterator[SourceGreeting | Skipped]:
        async for account_id, key, document in self._documents("media"):
            if isinstance(document, Skipped):
                yield document
            elif not (document.get("prompt_id") or document.get("media_source") == "tts"):
                has_audio = bool(document.pop("content_length", None))
                content_type = document.pop("content_type", None)
                path = f"{_account(account_id)}/media/{quote(key)}/raw"
                yield SourceGreeting(
                    key=key,
                    account_key=account_id,
                    document=document,
                    content_type=content_type if isinstance(content_type, str) else None,
                    open=partial(self._http.audio, path) if has_audio else None,
                )

    async def messages(self) -> AsyncIterator[SourceMessage | Skipped]:
        async for account_id, _ in self._tree():
            async for box_id, row in self._rows(account_id):
                yield await self._message(account_id, box_id, row)

    async def count_messages(self) -> int | None:
        """Returns None: KAZOO has no list of counts over all months."""
        return None

    async def close(self) -> None:
        await self._http.close()

    async def _authenticate(self, is_rejected: bool) -> Mapping[str, str]:
        if self._token is None or is_rejected:
            path, data = self._credentials.sign_in()
            answer = await self._http.request("PUT", path, data={"data": data}, signs_in=True)
            body = answer.body if isinstance(answer.body, dict) else {}
            if answer.status != HTTPStatus.CREATED or not isinstance(body.get("auth_token"), str):
                raise SourceFailed(f"{self._http.base_url} rejects the credentials.")
            self._token = body["auth_token"]
            self._account_id = str(body["data"]["account_id"])
        assert self._token is not None
        return {"X-Auth-Token": self._token}

    async def _tree(self) -> AsyncIterator[tuple[str, str | None]]:
        """Yields the ids of the accounts and their parents, parents first."""
        await self._authenticate(False)
        yield self._account_id, None
        parents = [self._account_id]
        while parents:
            parent = parents.pop(0)
            async for row in self._list(f"{_account(parent)}/children"):
                yield str(row["id"]), parent
                parents.append(str(row["id"]))

    async def _documents(self, noun: str) -> AsyncIterator[tuple[str, str, Document | Skipped]]:
        """Yields account, id and document of all resources of one kind."""
        async for account_id, _ in self._tree():
            async for row in self._list(f"{_account(account_id)}/{noun}"):
                key = str(row["id"])
                path = f"{_account(account_id)}/{noun}/{quote(key)}"
                yield account_id, key, await self._document(path)

    async def _document(self, path: str) -> Document | Skipped:
        answer = await self._http.get(path)
        data = answer.body.get("data") if isinstance(answer.body, dict) else None
        if answer.status != HTTPStatus.OK or not isinstance(data, dict):
            return Skipped(path, f"it cannot be read: status {answer.status}")
        return {key: value for key, value in data.items() if key not in _SERVER_KEYS}

    async def _list(self, path: str, **query: str | int) -> AsyncIterator[Document]:
        """Yields the rows of all pages. Raises SourceFailed."""
        start: dict[str, str | int] = {}
        page_size = _PAGE
        while True:
            answer = await self._http.get(path, page_size=page_size, **query, **start)
            body = answer.body
            if answer.status != HTTPStatus.OK or not isinstance(body, dict):
                raise SourceFailed(f"{path} cannot be listed: status {answer.status}.")
            for row in body.get("data", []):
                yield row
            following = body.get("next_start_key")
            if not following:
                return
            # KAZOO starts a page with all rows that have its key. If these rows fill the page, the
            # next page would be the same.
            page_size = page_size * 2 if start.get("start_key") == following else _PAGE
            start = {"start_key": following}

    async def _rows(self, account_id: str) -> AsyncIterator[tuple[str, Document]]:
        """Yields the box id and the row of each message of an account, window by window."""
        end, empty = self._clock() + _FUTURE, 0
        path = f"{_account(account_id)}/vmboxes/messages"
        while empty < _EMPTY_WINDOWS and (self._since is None or end >= self._since):
            start, is_empty = end - _WINDOW, True
            window = {"created_from": _gregorian(start), "created_to": _gregorian(end) - 1}
            # The parameter of other implementations; KAZOO ignores it.
            async for row in self._list(path, **window, profile="kazoo"):
                for box_id, summary in row.items():
                    is_empty = False
                    yield box_id, summary
            empty = empty + 1 if is_empty else 0
            end = start

    async def _message(
        self, account_id: str, box_id: str, row: Document
    ) -> SourceMessage | Skipped:
        key = str(row.get("media_id"))
        received_at = _time_of(row.get("timestamp"))
        if received_at is None:
            return Skipped(f"{box_id}/{key}", "it has no time")
        path = f"{_account(account_id)}/vmboxes/{quote(box_id)}/messages/{quote(key)}"
        transcription = None
        if "transcribed" in row:
            metadata = await self._document(path)
            found = None if isinstance(metadata, Skipped) else metadata.get("transcription")
            transcription = found if isinstance(found, dict) else None
        return SourceMessage(
            key=key,
            box_key=box_id,
            received_at=received_at,
            length_ms=_length_of(row),
            folder=_FOLDERS.get(str(row.get("folder")), Folder.NEW),
            caller_id_number=_string_or_empty(row.get("caller_id_number")),
            caller_id_name=_string_or_empty(row.get("caller_id_name")),
            call_id=_string_or_empty(row.get("call_id")) or None,
            from_uri=_string_or_empty(row.get("from")) or None,
            to_uri=_string_or_empty(row.get("to")) or None,
            transcription=transcription,
            open=partial(self._http.audio, f"{path}/raw"),
        )


def _account(account_id: str) -> str:
    return f"/accounts/{quote(account_id)}"


def _gregorian(moment: datetime) -> int:
    return int(moment.timestamp()) + _GREGORIAN


def _time_of(value: Any) -> datetime | None:
    """Returns the time of Gregorian seconds, or of ISO-8601 text that some systems use."""
    try:
        if isinstance(value, int):
            return datetime.fromtimestamp(value - _GREGORIAN, UTC)
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _length_of(row: Document) -> int | None:
    """Returns milliseconds. Systems with ISO-8601 times have seconds: the audio is measured."""
    length = row.get("length")
    return length if isinstance(length, int) and isinstance(row.get("timestamp"), int) else None


def _string_or_empty(value: Any) -> str:
    return value if isinstance(value, str) else ""
