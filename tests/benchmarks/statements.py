"""The service's own statements as pgbench scripts, with the parameters that the service gives."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from service.domain.errors import NotFound
from service.domain.message import (
    MAX_PENDING_PER_VMBOX,
    Audio,
    CallerId,
    Folder,
    MessageId,
    month_of,
    retained_since,
)
from service.postgres import messages as rows
from service.postgres.messages import Draft, MessageKey

ACCOUNT = UUID("be9c0000-0000-7000-8000-000000000001")
BOXES = 64
MESSAGES_PER_CLIENT = 64
_NO_LIMIT = 2**31 - 1

# What pgbench puts in the place of these: the digest of a number that it draws, and a new id.
_A_BOX = UUID("be9c0000-0000-7000-8000-000000000002")
_A_MESSAGE = UUID("be9c0000-0000-7000-8000-000000000003")
_A_NEW_MESSAGE = UUID("be9c0000-0000-7000-8000-000000000004")
_DRAWN = {
    _A_BOX: "md5('box' || :box::text)::uuid",
    _A_MESSAGE: "md5('message' || :message::text)::uuid",
    _A_NEW_MESSAGE: "uuidv7()",
}
_PARAMETER = re.compile(r"\$(\d+)")
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """`variables` are strings for `-D`; `table` gains a row with each transaction."""

    text: str
    variables: Mapping[str, str]
    table: str


class _Connection:
    """Records the statement that a pool with generic plans sends, and finds no rows."""

    def __init__(self) -> None:
        self.usable_months = {month_of(datetime.now(UTC)): True}
        self.statement = ""
        self.parameters: tuple[Any, ...] = ()

    async def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        self.statement, self.parameters = statement, parameters
        return []

    async def fetchrow(self, statement: str, *parameters: Any) -> None:
        await self.fetch(statement, *parameters)


async def store_script(*, with_audio: bool) -> Script:
    """Stores into a random box; without audio the message waits for it and causes no event."""

    async def store(connection: Any) -> object:
        draft = a_draft(with_audio=with_audio)
        return await rows.insert_message(connection, ACCOUNT, _A_BOX, draft, max_message_count=None)

    text, variables = await _script_of(store, "p")
    return Script(
        text=f"\\set box random(0, {BOXES - 1})\n{text}",
        variables=variables,
        table="outbox" if with_audio else "messages",
    )


async def folder_script() -> Script:
    """Puts a random message of the client's own into `saved`; the next transaction puts it back."""
    there, variables = await _script_of(_change_to(Folder.SAVED), "s")
    back, more = await _script_of(_change_to(Folder.NEW), "n")
    text = (
        "\\if :turn % 2 = 0\n"
        f"\\set message :client_id * {MESSAGES_PER_CLIENT} + random(0, {MESSAGES_PER_CLIENT - 1})\n"
        f"\\set box :message % {BOXES}\n"
        f"{there}\\else\n{back}\\endif\n"
        "\\set turn :turn + 1\n"
    )
    return Script(text=text, variables=variables | more | {"turn": "0"}, table="outbox")


def _change_to(folder: Folder) -> Callable[[Any], Awaitable[object]]:
    now = datetime.now(UTC)

    async def change(connection: Any) -> object:
        return await rows.change_folder(
            connection,
            MessageKey(ACCOUNT, _A_BOX, MessageId(month_of(now), _A_MESSAGE)),
            folder,
            retained_since=retained_since(now, 93),
            reason="api",
        )

    return change


def a_draft(*, with_audio: bool) -> Draft:
    """A message as the service leaves it; its id and its key are to be replaced."""
    now = datetime.now(UTC).replace(microsecond=0)
    audio = Audio(
        key=f"audio/{month_of(now)}/{'0' * 32}/{'1' * 32}/{'2' * 32}.mp3",
        content_type="audio/mpeg",
        size=65_536,
        sha256=hashlib.sha256(b"audio").digest(),
    )
    return Draft(
        id=MessageId(month_of(now), _A_NEW_MESSAGE),
        folder=Folder.NEW,
        received_at=now,
        length_ms=4200,
        caller_id=CallerId("1001", "Ann"),
        call_id="0123456789abcdef01234567",
        from_uri="1001@example.com",
        to_uri=None,
        realm="example.com",
        audio=audio if with_audio else None,
        retained=True,
    )


async def _script_of(
    work: Callable[[Any], Awaitable[object]], prefix: str
) -> tuple[str, dict[str, str]]:
    """The statement that `work` sends, with pgbench's variables for its parameters."""
    connection = _Connection()
    with suppress(NotFound):
        await work(connection)
    variables = {
        f"{prefix}{number}": _written(value)
        for number, value in enumerate(connection.parameters, start=1)
    }

    def expression(result: re.Match[str]) -> str:
        value = connection.parameters[int(result[1]) - 1]
        if value is None:
            return "NULL"
        return _DRAWN.get(value, f":{prefix}{result[1]}")

    bare = _COMMENT.sub("", connection.statement).strip().rstrip(";")
    return _PARAMETER.sub(expression, bare) + ";\n", variables


def _written(value: Any) -> str:
    """A parameter as Postgres reads it from text."""
    match value:
        case bytes():
            return "\\x" + value.hex()
        case int() if value == MAX_PENDING_PER_VMBOX:
            return str(_NO_LIMIT)
        case datetime():
            return value.isoformat()
        case _:
            return str(value)
