"""ZIP archives of audio: content, names of files, and aborted archives."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from tests.contract.wire import NO_ID, NOW, json_part, mixed, problems, refusal, the_store
from tests.support.proxy import Proxy
from tests.support.running import AccountClient, RunningService, data_of

WINTER = 63_933_364_800  # 2025-12-19T12:00:00Z
UNKNOWN = f"{NOW:%Y%m}-{NO_ID}"
MB = 1_000_000
CUT = (httpx.RemoteProtocolError, httpx.ReadError)


def archive_of(account: AccountClient, vmbox_id: str) -> str:
    return account.path("vmboxes", vmbox_id, "messages", "raw")


async def zipped(account: AccountClient, vmbox_id: str, ids: Sequence[Any]) -> zipfile.ZipFile:
    """The archive of these messages, whole."""
    answer = await account.http.post(
        archive_of(account, vmbox_id), json={"data": {"messages": ids}}
    )
    return whole(answer)


def whole(answer: httpx.Response) -> zipfile.ZipFile:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    request_id = answer.headers["x-request-id"]
    assert answer.headers["content-disposition"] == f'attachment; filename="{request_id}.zip"'
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    return archive


async def test_an_archive_holds_each_message_as_it_is(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(timezone="Asia/Tokyo")
    sounds = {
        "1001_2025-12-19_21:00:00.mp3": (b"one" * 300_000, "audio/mpeg", "1001"),
        "1002_2025-12-19_21:00:00.wav": (b"two", "audio/wav", "1002"),
        "Zoë_2025-12-19_21:00:00.bin": (b"\0", "application/octet-stream", "Zoë"),
    }
    ids = [
        await account.leave(vmbox_id, audio, kind, caller_id_number=number, timestamp=WINTER)
        for audio, kind, number in sounds.values()
    ]
    archive = await zipped(account, vmbox_id, ids[::-1])
    assert archive.namelist() == list(sounds)[::-1]
    for name, (audio, _, _) in sounds.items():
        assert archive.read(name) == audio
        assert archive.getinfo(name).date_time == (2025, 12, 19, 21, 0, 0)


async def test_names_of_files_are_unique_and_contain_no_path(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    numbers = ("Ann", "Ann", "aNN", "../../Ann", "/etc", "..\\x")
    ids = [
        await account.leave(
            vmbox_id, f"{place}".encode(), caller_id_number=number, timestamp=WINTER
        )
        for place, number in enumerate(numbers)
    ]
    archive = await zipped(account, vmbox_id, [*ids, ids[0]])
    for media_id, name in zip(ids[3:], archive.namelist()[3:], strict=True):
        raw = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
        disposition = (await account.http.get(raw)).headers["content-disposition"]
        assert disposition == f'attachment; filename="{name}"'
    when = "_2025-12-19_12:00:00"
    assert archive.namelist() == [
        f"Ann{when}.mp3",
        f"Ann{when}_{ids[1]}.mp3",
        f"aNN{when}_{ids[2]}.mp3",
        f"_._.._Ann{when}.mp3",
        f"_etc{when}.mp3",
        f"_._x{when}.mp3",
    ]
    assert [archive.read(name) for name in archive.namelist()] == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
    ]


async def test_absent_values_are_left_out(account: AccountClient) -> None:
    vmbox_id, other = await account.a_vmbox(), await account.a_vmbox()
    kept, removed = await account.leave(vmbox_id), await account.leave(vmbox_id)
    elsewhere = await account.leave(other)
    messages = account.path("vmboxes", vmbox_id, "messages")
    data_of(await account.http.delete(f"{messages}/{removed}"))
    silent = data_of(await account.http.put(messages, json={"data": {}}), 201)["media_id"]
    missing = [UNKNOWN, removed, elsewhere, silent, "no id", ""]
    assert len((await zipped(account, vmbox_id, [*missing, kept])).namelist()) == 1
    nothing = await account.http.post(f"{messages}/raw", json={"data": {"messages": missing}})
    assert refusal(nothing, 404, "not_found") == {"message": "not found"}


async def test_the_ids_come_under_every_type_that_clients_send(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    body = msgspec.json.encode({"data": {"messages": [await account.leave(vmbox_id)]}})
    for kind in (
        "application/json",
        "application/x-json",
        "application/x-www-form-urlencoded",
        "application/zip",
        None,
    ):
        headers = {} if kind is None else {"Content-Type": kind}
        path = archive_of(account, vmbox_id)
        whole(await account.http.post(path, content=body, headers=headers))
        assert "json" in problems(await account.http.post(path, content=b"PK", headers=headers))
    part = mixed(json_part(messages=[UNKNOWN]))
    refusal(await account.http.post(path, **part), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ({}, "required"),
        ({"messages": []}, "required"),
        ({"messages": None}, "required"),
        ({"messages": "x"}, "required"),
        ({"messages": {"0": UNKNOWN}}, "required"),
        ({"messages": [7]}, "required"),
        ({"messages": [UNKNOWN] * 1001}, "maxItems"),
    ],
)
async def test_without_a_list_of_ids_there_is_no_archive(
    account: AccountClient, data: dict[str, Any], rule: str
) -> None:
    vmbox_id = await account.a_vmbox()
    answer = await account.http.post(archive_of(account, vmbox_id), json={"data": data})
    assert list(problems(answer)["messages"]) == [rule]


async def test_a_box_that_is_not_there_has_no_archive(
    service: RunningService, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id)
    other = await service.an_account()
    body = {"data": {"messages": [media_id]}}
    for unknown in (vmbox_id, NO_ID):
        answer = await other.http.post(archive_of(other, unknown), json=body)
        assert refusal(answer, 404, "bad_identifier")["cause"] == unknown
    refusal(await other.http.post(archive_of(account, vmbox_id), json=body), 403, "forbidden")
    own = await other.a_vmbox()
    refusal(await other.http.post(archive_of(other, own), json=body), 404, "not_found")
    await other.http.aclose()


async def test_an_archive_is_created_only_by_post(account: AccountClient) -> None:
    path = archive_of(account, await account.a_vmbox())
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
        answer = await account.http.request(method, path)
        assert answer.status_code == 405
        if method != "HEAD":
            refusal(answer, 405, "invalid_method")


async def large(account: AccountClient, copies: int) -> tuple[str, list[str]]:
    """A box with so many messages of 8 MB, and their ids."""
    vmbox_id = await account.a_vmbox()
    ids = [await account.leave(vmbox_id, b"x" * (8 * MB))]
    for _ in range(copies):
        copied = {"data": {"messages": ids[:1], "source_id": [vmbox_id]}}
        path = account.path("vmboxes", vmbox_id, "messages")
        ids += data_of(await account.http.post(path, json=copied))["succeeded"]
    return vmbox_id, ids


def resident_mb(service: RunningService) -> float:
    """The memory of the API process."""
    status = Path(f"/proc/{service.processes['api'].pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


async def test_an_archive_needs_no_memory_for_what_is_in_it(
    service: RunningService, account: AccountClient
) -> None:
    vmbox_id, ids = await large(account, copies=4)
    body = {"data": {"messages": ids}}
    before, received, most = resident_mb(service), 0, 0.0
    path = archive_of(account, vmbox_id)
    async with account.http.stream("POST", path, json=body) as answer:
        async for piece in answer.aiter_bytes():
            if received // (4 * MB) != (received + len(piece)) // (4 * MB):
                most = max(most, resident_mb(service))
            received += len(piece)
    assert received > len(ids) * 8 * MB
    assert most - before < 24


async def test_a_missing_object_is_skipped_and_a_late_failure_closes_the_connection(
    account: AccountClient,
) -> None:
    vmbox_id, (first, second, third) = await large(account, copies=2)
    async with the_store(account) as store:
        prefix = f"audio/{NOW:%Y%m}/{account.account_id}/"
        keys = [item.key async for item in store.list(prefix)]
        (lost,) = (key for key in keys if second.partition("-")[2] in key)
        await store.delete(lost)
        archive = await zipped(account, vmbox_id, [second, first, third])
        assert [info.file_size for info in archive.infolist()] == [8 * MB] * 2
        only = {"data": {"messages": [second]}}
        path = archive_of(account, vmbox_id)
        refusal(await account.http.post(path, json=only), 404, "not_found")
        all_of_them = {"data": {"messages": [first, third]}}
        async with account.http.stream("POST", path, json=all_of_them) as answer:
            assert answer.status_code == 200
            await store.delete_many(keys)
            with pytest.raises(CUT):
                await answer.aread()


@pytest.mark.long
async def test_an_outage_closes_the_connection_or_is_reported_first(
    service: RunningService, account: AccountClient
) -> None:
    vmbox_id, ids = await large(account, copies=1)
    endpoint = urlsplit(service.environment["AFTERTONE_S3_ENDPOINT"])
    assert endpoint.port
    async with Proxy.before(endpoint.port) as proxy:
        api = await service.another_api(
            AFTERTONE_S3_ENDPOINT=f"http://127.0.0.1:{proxy.port}", AFTERTONE_S3_TIMEOUT_S="1"
        )
        path, body = archive_of(account, vmbox_id), {"data": {"messages": ids}}
        async with api.client(account.token) as client:
            async with client.stream("POST", path, json=body) as answer:
                assert answer.status_code == 200
                await proxy.refuse()
                with pytest.raises(CUT):
                    await answer.aread()
            answer = await client.post(path, json=body)
            refusal(answer, 503, "datastore_unreachable")
            assert answer.headers["retry-after"]
        await api.stop()
