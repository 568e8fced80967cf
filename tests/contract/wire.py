"""Helpers of the contract tests: envelopes, golden JSON, raw sockets, stored data."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from service.api.kazoo.times import gregorian
from service.audio.s3_session import BucketSettings
from service.audio.store import AudioStore
from tests.support.running import AccountClient, RunningService
from tests.support.waiting import DEADLINE_S

GOLDEN = Path(__file__).with_name("golden")
# When the tests were collected: up to minutes before one of them runs.
NOW = datetime.now(UTC).replace(microsecond=0)
WRONG_CREDENTIALS = "invalid credentials"
FORBIDDEN = "forbidden"
NO_ID = "0123456789abcdef" * 2

_FRAME = {"data", "status", "auth_token", "request_id", "timestamp", "version", "node"}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def ago(**span: float) -> int:
    """Returns a time before the tests, in Gregorian seconds."""
    return gregorian(NOW - timedelta(**span))


def success(answer: httpx.Response, token: str, status: int = 200, *more: str) -> dict[str, Any]:
    """The envelope of a success, which has the keys of every one and `more`, and no others."""
    envelope: dict[str, Any] = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert envelope.keys() == {*_FRAME, *more}
    assert envelope["status"] == "success"
    assert envelope["auth_token"] == token
    assert envelope["request_id"] == answer.headers["x-request-id"]
    assert _TIMESTAMP.fullmatch(envelope["timestamp"])
    return envelope


def refusal(answer: httpx.Response, status: int, word: str, token: str | None = None) -> Any:
    """The `data` of a refusal in a whole envelope; with `token`, one of a known caller."""
    assert (answer.status_code, answer.json()["message"]) == (status, word), answer.text
    envelope = answer.json()
    known = set() if "auth_token" not in envelope else {"auth_token", "version"}
    assert envelope.keys() == {
        *("data", "status", "message", "error", "request_id", "timestamp", "node"),
        *known,
    }
    assert envelope["status"] == "error"
    assert envelope["error"] == str(status)
    assert envelope["request_id"] == answer.headers["x-request-id"]
    assert _TIMESTAMP.fullmatch(envelope["timestamp"])
    assert answer.headers["access-control-allow-origin"] == "*"
    assert token is None or envelope.get("auth_token") == token
    return envelope["data"]


def problems(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    """Returns the content of a validation error: dotted field -> rule -> details."""
    result: dict[str, Any] = refusal(answer, status, "validation error")
    assert all(details["message"] for rules in result.values() for details in rules.values())
    return result


def golden(name: str, answer: httpx.Response, names: Mapping[Any, str]) -> None:
    """Asserts that the body equals the file, after labels have replaced the generated values."""
    record = _named(answer.json(), {answer.headers["x-request-id"]: "REQUEST_ID", **names})
    for key in ("node", "version", "timestamp"):
        if key in record:
            record[key] = f"<{key.upper()}>"
    assert record == msgspec.json.decode((GOLDEN / f"{name}.json").read_bytes())


def _named(value: Any, names: Mapping[Any, str]) -> Any:
    match value:
        case dict():
            return {_named(key, names): _named(inner, names) for key, inner in value.items()}
        case list():
            return [_named(inner, names) for inner in value]
        case str():
            for real, name in names.items():
                value = value.replace(real, f"<{name}>") if isinstance(real, str) else value
            return value
        case int() if not isinstance(value, bool) and value in names:
            return f"<{names[value]}>"
        case _:
            return value


def mixed(*parts: tuple[Sequence[str], bytes], boundary: str = "frontier") -> dict[str, Any]:
    """A multipart/mixed body by hand: parts of headers and content, without names."""
    body = b"".join(
        f"--{boundary}\r\n".encode()
        + "".join(f"{header}\r\n" for header in headers).encode("latin-1")
        + b"\r\n"
        + content
        + b"\r\n"
        for headers, content in parts
    )
    return {
        "content": body + f"--{boundary}--\r\n".encode(),
        "headers": {"Content-Type": f"multipart/mixed; boundary={boundary}"},
    }


def json_part(**data: Any) -> tuple[list[str], bytes]:
    return ["Content-Type: application/json"], msgspec.json.encode({"data": data})


def audio_part(audio: bytes, content_type: str = "audio/mp3") -> tuple[list[str], bytes]:
    return [f"Content-Type: {content_type}"], audio


async def exchange(
    service: RunningService, head: Sequence[str], body: bytes = b"", *, half_close: bool = False
) -> httpx.Response:
    """Sends exact bytes and returns the answer; `half_close` closes the sending side."""
    place = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    lines = [*head, f"Host: {place.netloc}", "Connection: close", "", ""]
    try:
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        if half_close:
            writer.write_eof()
        async with asyncio.timeout(DEADLINE_S):
            answer = await reader.read()
    finally:
        writer.close()
    heading, _, content = answer.partition(b"\r\n\r\n")
    status, *headers = heading.decode("latin-1").split("\r\n")
    fields = [(line.partition(": ")[0], line.partition(": ")[2]) for line in headers]
    return httpx.Response(int(status.split()[1]), headers=fields, content=content)


def the_store(account: AccountClient) -> AbstractAsyncContextManager[AudioStore]:
    """The bucket of the service that the account is in."""
    environment = account.service.environment
    return AudioStore.open(
        BucketSettings(
            endpoint=environment["AFTERTONE_S3_ENDPOINT"],
            bucket=environment["AFTERTONE_S3_BUCKET"],
            region="us-east-1",
            addressing_style="path",
            pool_size=1,
            connect_timeout_s=2,
            timeout_s=10,
        )
    )


async def stored_objects(account: AccountClient) -> list[str]:
    """The keys of the account's audio of this month."""
    return await _keys(account, f"audio/{datetime.now(UTC):%Y%m}/{account.account_id}/")


async def stored_greetings(account: AccountClient) -> list[str]:
    """The keys of the account's greetings."""
    return await _keys(account, f"media/{account.account_id}/")


async def _keys(account: AccountClient, prefix: str) -> list[str]:
    async with the_store(account) as store:
        return [item.key async for item in store.list(prefix)]


async def assert_nothing_stored(account: AccountClient, vmbox_id: str) -> None:
    """No message, none in the counts, no audio."""
    assert await account.listed(vmbox_id) == []
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 0}
    assert await stored_objects(account) == []


@asynccontextmanager
async def no_fault_logged(service: RunningService) -> AsyncIterator[None]:
    """Asserts that the log of the API gets no error and no traceback while the block runs."""
    log = service.folder / "api.log"
    before = log.stat().st_size
    yield
    written = log.read_bytes()[before:].decode()
    assert "Traceback" not in written
    assert '"level": "error"' not in written


async def a_message(account: AccountClient) -> tuple[str, str, str]:
    """A box, a message in it, and the path of the message."""
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    return vmbox_id, media_id, account.path("vmboxes", vmbox_id, "messages", media_id)
