"""Erasures: afterwards nothing of the person, or of the account, is found anywhere."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import nats
import nats.js.errors
import pytest

from service.settings import read_settings
from service.wiring.factories import open_audio
from tests.contract.test_accounts_cli import aftertone
from tests.contract.test_audit import recorded
from tests.contract.wire import refusal
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, RunningService, data_of
from tests.support.waiting import wait_until

NUMBER, SPELLED, NAME = "+49 89 7654321", "0897654321", "Zacharias Quendel"
SOUND = "the voice of the person"


async def _published(service: RunningService) -> None:
    """Waits until the relay has published all events."""
    owner = await asyncpg.connect(service.servers.postgres.url())

    async def is_empty() -> bool:
        return not await owner.fetchval("SELECT count(*) FROM outbox WHERE stream_seq IS NULL")

    await wait_until(is_empty)
    await owner.close()


async def _texts(service: RunningService) -> dict[str, str]:
    """Returns the text of each table, of all events in the stream, of keys, and of logs."""
    texts = {}
    owner = await asyncpg.connect(service.servers.postgres.url())
    tables = await owner.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition"
    )
    for (table,) in tables:
        rows = await owner.fetch(f"SELECT t::text FROM {table} AS t")  # noqa: S608
        texts[f"table {table}"] = "\n".join(row[0] for row in rows)
    await owner.close()
    texts["stream"] = await _stream_text(service)
    settings = read_settings(service.environment)
    async with open_audio(settings) as audio:
        for prefix in ("audio/", "media/"):
            async for item in audio.list(prefix):
                async with audio.read(item.key, 0, item.size) as blocks:
                    content = b"".join([block async for block in blocks])
                texts[f"object {item.key}"] = f"{item.key} {content.decode('latin-1')}"
    for file in service.folder.glob("*.log"):
        texts[f"log {file.name}"] = file.read_text(errors="replace")
    return texts


async def _stream_text(service: RunningService) -> str:
    client = await nats.connect(service.environment["AFTERTONE_NATS_URL"])
    jetstream, found = client.jetstream(), []
    state = (await jetstream.stream_info("VOICEMAIL")).state
    for seq in range(state.first_seq or 1, state.last_seq + 1):
        with suppress(nats.js.errors.NotFoundError):
            message = await jetstream.get_msg("VOICEMAIL", seq=seq)
            found.append(f"{message.subject} {(message.data or b'').decode()} {message.headers}")
    await client.close()
    return "\n".join(found)


async def _fan_out(account: AccountClient) -> None:
    """Adds a pending delivery of each event of a message."""
    owner = await asyncpg.connect(account.service.servers.postgres.url())
    await owner.execute(
        "INSERT INTO deliveries (account_id, event_id, channel, target, status, event, last_error)"
        " SELECT account_id, event_id, 'email', 'a@example.com', 'pending',"
        " jsonb_build_object('type', type, 'data', data), data::text"
        " FROM outbox WHERE account_id = $1::uuid AND data ? 'message'",
        account.account_id,
    )
    await owner.close()


def _mails(folder: Path) -> list[Path]:
    return list(folder.glob("*.eml"))


def _places(texts: dict[str, str], *needles: str) -> set[str]:
    return {place for place, text in texts.items() for needle in needles if needle in text}


async def _erase(account: AccountClient, **person: str) -> dict[str, Any]:
    answer = await account.http.post(account.path("erasures"), json={"data": person})
    job: dict[str, Any] = data_of(answer, 201)
    return job


async def test_nothing_of_an_erased_person_is_found_anywhere(
    account: AccountClient, tmp_path: Path
) -> None:
    service = account.service
    vmbox_id, other_box = await account.a_vmbox(), await account.a_vmbox()
    caller: dict[str, Any] = {"caller_id_number": NUMBER, "caller_id_name": NAME}
    kept = await account.leave(vmbox_id, an_mp3(), caller_id_number="0891111111")
    path = account.path("vmboxes", vmbox_id, "messages")
    audio = an_mp3() + SOUND.encode()
    erased = [await account.leave(vmbox_id, audio, **caller) for _ in range(2)]
    erased.append(await account.leave(other_box, audio, caller_id_number=SPELLED))
    uri: dict[str, Any] = {"from": f"{SPELLED}@example.org", "caller_id_name": "N. N."}
    erased.append(await account.leave(vmbox_id, audio, **uri))
    erased.append(await account.leave(vmbox_id, audio, caller_id_name=NAME.upper()))
    body = {"data": {"folder": "new", **caller}}
    headers = {"Idempotency-Key": "once"}
    stored = data_of(await account.http.put(path, json=body, headers=headers), 201)
    data_of(await account.http.delete(f"{path}/{erased[0]}"))
    data_of(await account.http.delete(account.path("vmboxes", other_box)))
    await _published(service)
    await _fan_out(account)
    for name, text in (("a", f"New message from {NAME}"), ("b", f"Call {NUMBER}"), ("c", "Hi")):
        (tmp_path / f"{name}.eml").write_text(f"Subject: Voicemail\n\n{text}\n")
    needles = (NUMBER, SPELLED, NAME, NAME.upper())
    found = _places(await _texts(service), *needles)
    assert {"table messages", "table outbox", "table idempotency", "table deliveries"} <= found
    assert "stream" in found
    job = await _erase(account, caller_id_number="0049-89-7654321", caller_id_name=NAME)
    service.environment["AFTERTONE_KEPT_MAIL_FOLDER"] = str(tmp_path)
    await aftertone(service, "keeper", "--once", "erasure")
    del service.environment["AFTERTONE_KEPT_MAIL_FOLDER"]
    await _published(service)
    texts = await _texts(service)
    assert _places(texts, *needles, "7654321", "quendel", SOUND) == set()
    ids = [media_id[7:] for media_id in erased]
    assert not [place for place in _places(texts, *ids) if place.startswith("object")]
    assert [file.name for file in _mails(tmp_path)] == ["c.eml"]
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [kept]
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}
    again = data_of(await account.http.put(path, json=body, headers=headers), 201)
    assert again["media_id"] == stored["media_id"]
    path = account.path("erasures", job["id"])
    report = data_of(await account.http.get(path))
    assert (report["phase"], report["removed"]["messages"]) == ("finished", len(erased) + 1)
    assert report["removed"]["mails"] == 2
    for action in ("erasure.created", "erasure.finished"):
        (row,) = await recorded(account, action=action)
        assert row["target"] == job["id"]


@pytest.mark.long
async def test_an_erasure_that_holds_forbid_is_refused_with_these_holds(
    account: AccountClient,
) -> None:
    vmbox_id = await account.a_vmbox()
    await account.leave(vmbox_id, caller_id_number=SPELLED)
    hold: dict[str, Any] = {"name": "Case", "reason": "Order", "vmbox_ids": [vmbox_id]}
    hold_id = data_of(await account.http.put(account.path("holds"), json={"data": hold}), 201)["id"]
    blocked = [{"id": hold_id, "name": "Case"}]
    for number, status in ((NUMBER, 409), ("0305555555", 201)):
        person = {"data": {"caller_id_number": number}}
        answer = await account.http.post(account.path("erasures"), json=person)
        assert answer.status_code == status
        if status == 409:
            assert refusal(answer, 409, "legal_hold")["holds"] == blocked
    root = {"X-Auth-Token": account.service.root_token}
    for query in ({}, {"erase": "true"}):
        answer = await account.http.delete(account.path(), params=query, headers=root)
        assert refusal(answer, 409, "legal_hold")["holds"] == blocked
    data_of(await account.http.delete(account.path("holds", hold_id)))
    await _erase(account, caller_id_number=NUMBER)
    await aftertone(account.service, "keeper", "--once", "erasure")
    assert await account.listed(vmbox_id) == []


async def test_only_the_id_of_an_erased_account_remains(service: RunningService) -> None:
    account = await service.an_account()
    user = {"username": "quirin", "password": "a long password", "first_name": "Quirin"}
    data_of(await account.http.put(account.path("users"), json={"data": user}), 201)
    made = await account.http.put(account.path("media"), json={"data": {"name": "Q"}})
    greeting = data_of(made, 201)
    sound: dict[str, Any] = {"content": an_mp3(), "headers": {"Content-Type": "audio/mpeg"}}
    data_of(await account.http.put(account.path("media", greeting["id"], "raw"), **sound), 201)
    vmbox_id = await account.a_vmbox(name="Quirin's box")
    await account.leave(vmbox_id, an_mp3() + SOUND.encode(), caller_id_name=NAME)
    root = {"X-Auth-Token": service.root_token}
    answer = await account.http.delete(account.path(), params={"erase": "true"}, headers=root)
    data_of(answer)
    await _published(service)
    printed = await aftertone(service, "keeper", "--once", "erasure")
    assert "1 erasures finished" in printed
    texts = await _texts(service)
    assert _places(texts, account.realm, "quirin", "Quirin", NAME, SOUND) == set()
    account_id = str(UUID(account.account_id))
    left = {place for place in _places(texts, account_id) if place.startswith("table ")}
    assert {place for place in left if not place.startswith(("table audit", "table outbox"))} <= {
        "table accounts",
        "table erasures",
    }
    async with service.client(service.root_token) as client:
        job = data_of(await client.get(answer.headers["Location"].removeprefix("/v2/")))
    assert job["phase"] == "finished"
    assert job["account_id"] == account.account_id
    await account.http.aclose()


@pytest.mark.long
async def test_the_command_line_erases_an_account_at_once(service: RunningService) -> None:
    account = await service.an_account()
    vmbox_id = await account.a_vmbox()
    await account.leave(vmbox_id, an_mp3(), caller_id_name=NAME)
    hold = {"data": {"name": "Case 12", "reason": "Order"}}
    hold_id = data_of(await account.http.put(account.path("holds"), json=hold), 201)["id"]
    erase = ("account", "erase", account.account_id, "--yes")
    assert "release the named holds first. (Case 12)" in await aftertone(service, *erase, status=1)
    data_of(await account.http.delete(account.path("holds", hold_id)))
    await _published(service)
    printed = await aftertone(service, *erase)
    assert f"deleted {account.account_id}, erasure " in printed
    assert "erasure: 1 erasures finished" in printed
    assert _places(await _texts(service), account.realm, NAME) == set()
    await account.http.aclose()


@pytest.mark.long
async def test_an_erasure_that_is_killed_often_erases_everything(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "messages")
    for _ in range(60):
        data = {"data": {"caller_id_number": NUMBER}}
        await account.http.put(path, json=data)
        await account.leave(vmbox_id, an_mp3() + SOUND.encode(), caller_id_number=SPELLED)
    kept = await account.leave(vmbox_id, an_mp3())
    job = await _erase(account, caller_id_number=NUMBER)
    for kill_after_s in (1.5, 2.0, 2.5, 3.0, 3.5, 4.0):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "keeper", "--once", "erasure"),
            env=account.service.environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), kill_after_s)
        if process.returncode is None:
            process.kill()
            await process.wait()
    await aftertone(account.service, "keeper", "--once", "erasure")
    await _published(account.service)
    report = data_of(await account.http.get(account.path("erasures", job["id"])))
    assert (report["phase"], report["removed"]["messages"]) == ("finished", 120)
    assert _places(await _texts(account.service), NUMBER, SPELLED, SOUND) == set()
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [kept]
